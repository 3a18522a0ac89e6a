/* Where a panel looks: pan, zoom, and from pixels to bins. Lengths are in widths of a bin; a row of a hexagonal grid is lower. */

import { MAX_ZOOM } from "./state.js";

const MARGIN = 0.97;

/** The part of a section that all panels show. */
export class View {
  constructor(about, rowHeight) {
    [this.rows, this.columns] = about.shape;
    this.isHexagonal = about.lattice === "hexagonal";
    this.rowHeight = rowHeight;
    this.width = this.columns + (this.isHexagonal ? 0.5 : 0);
    this.height = this.rows * rowHeight;
    this.reset();
  }

  get aspect() {
    return this.width / this.height;
  }

  reset() {
    Object.assign(this, { zoom: 1, x: 0.5, y: 0.5 });
  }

  /** Pixels per bin, and where the corner of the first bin lies, on a canvas of this size. */
  frame(width, height) {
    const scale = Math.min(width / this.width, height / this.height) * MARGIN * this.zoom;
    return { scale, left: width / 2 - this.x * this.width * scale, top: height / 2 - this.y * this.height * scale, width, height };
  }

  /** Corner of a bin in pixels. */
  corner(frame, row, column) {
    return [frame.left + (column + this.shift(row)) * frame.scale, frame.top + row * this.rowHeight * frame.scale];
  }

  /** How far a row stands to the right, in bins. */
  shift(row) {
    return this.isHexagonal && row & 1 ? 0.5 : 0;
  }

  /** The bin under a pixel: [row, column], or null outside the grid. */
  binAt(frame, x, y) {
    const row = Math.floor((y - frame.top) / (frame.scale * this.rowHeight));
    const column = Math.floor((x - frame.left) / frame.scale - this.shift(row));
    return row >= 0 && row < this.rows && column >= 0 && column < this.columns ? [row, column] : null;
  }

  /** Rows and columns in sight: {top, bottom, left, right}, the last ones excluded. */
  sight(frame) {
    const clamp = (value, most) => Math.max(0, Math.min(most, value));
    return {
      top: clamp(Math.floor(-frame.top / (frame.scale * this.rowHeight)), this.rows),
      bottom: clamp(Math.ceil((frame.height - frame.top) / (frame.scale * this.rowHeight)), this.rows),
      left: clamp(Math.floor(-frame.left / frame.scale - 0.5), this.columns),
      right: clamp(Math.ceil((frame.width - frame.left) / frame.scale), this.columns),
    };
  }

  /** Zoom by a factor; the point under a pixel stays there. */
  zoomAt(frame, x, y, factor) {
    const zoom = Math.max(1, Math.min(MAX_ZOOM, this.zoom * factor));
    const ratio = this.zoom / zoom;
    const [share, down] = [(x - frame.left) / (this.width * frame.scale), (y - frame.top) / (this.height * frame.scale)];
    this.zoom = zoom;
    this.#centre(share + (this.x - share) * ratio, down + (this.y - down) * ratio);
  }

  /** Move by pixels. */
  pan(frame, dx, dy) {
    this.#centre(this.x - dx / (this.width * frame.scale), this.y - dy / (this.height * frame.scale));
  }

  /** Bring a bin into sight if it is not. */
  follow(frame, [row, column]) {
    const [x, y] = this.corner(frame, row, column);
    const edge = Math.min(24, frame.width / 8);
    const dx = x < edge ? edge - x : Math.min(0, frame.width - edge - x - frame.scale);
    const dy = y < edge ? edge - y : Math.min(0, frame.height - edge - y - frame.scale);
    if (this.zoom > 1 && (dx || dy)) this.pan(frame, dx, dy);
  }

  #centre(x, y) {
    // Half of what is in sight may lie beyond the edge, no more; at no zoom the section stays in the middle.
    const room = 0.5 * (1 - 1 / this.zoom);
    this.x = Math.max(0.5 - room, Math.min(0.5 + room, x));
    this.y = Math.max(0.5 - room, Math.min(0.5 + room, y));
  }
}

/** Let fingers, mouse and keys work a canvas. `on` has: frame(), changed(), cursor([row, column]), view, step(dy, dx, isFar). */
export function attach(canvas, on) {
  const fingers = new Map();
  let moved = 0;
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const point = (event) => {
    const bin = on.view.binAt(on.frame(), ...place(event));
    if (bin) on.cursor(bin);
  };
  canvas.addEventListener("pointerdown", (event) => {
    fingers.set(event.pointerId, place(event));
    moved = 0;
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) {
      if (event.pointerType === "mouse") point(event);
      return;
    }
    const now = place(event);
    if (fingers.size === 1) {
      moved += Math.hypot(now[0] - before[0], now[1] - before[1]);
      if (moved > 3) on.view.pan(on.frame(), now[0] - before[0], now[1] - before[1]);
    } else {
      const other = [...fingers].find(([id]) => id !== event.pointerId)[1];
      const ratio = Math.hypot(now[0] - other[0], now[1] - other[1]) / Math.max(1, Math.hypot(before[0] - other[0], before[1] - other[1]));
      on.view.zoomAt(on.frame(), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2, ratio);
      moved = 99;
    }
    fingers.set(event.pointerId, now);
    on.changed();
  });
  const lift = (event) => {
    if (fingers.delete(event.pointerId) && event.type === "pointerup" && moved <= 3) point(event);
  };
  canvas.addEventListener("pointerup", lift);
  canvas.addEventListener("pointercancel", lift);
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 33 : 1;
    on.view.zoomAt(on.frame(), ...place(event), Math.exp(-Math.max(-300, Math.min(300, event.deltaY * lines)) / 400));
    on.changed();
  }, { passive: false });
  canvas.addEventListener("dblclick", (event) => {
    on.view.zoomAt(on.frame(), ...place(event), 2);
    on.changed();
  });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    on.step(...step, event.shiftKey);
  });
}
