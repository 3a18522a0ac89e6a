/* One layer on a canvas, with its title, the value at the cursor, and its colour bar. */

import { LAYERS } from "./data.js";
import { paint, paintBar } from "./colours.js";
import { figure, h, notice } from "./dom.js";
import { attach } from "./view.js";

const MARK_PIXELS = 3;
/* Least size of a bin at which measured positions are told apart. */

/** A panel; `host` has view, cursor, marks, theme, and the calls of `attach`. */
export class Panel {
  constructor(layer, host) {
    this.layer = layer;
    this.host = host;
    this.painted = new WeakMap();
    this.look = null;
    this.tiles = [];
    this.value = h("output.value", { "aria-hidden": "true" }, "");
    this.canvas = h("canvas", { tabindex: 0, role: "application", "aria-roledescription": "map of the section", "aria-describedby": "keys" });
    this.cover = h("div.cover", { hidden: true });
    this.stage = h("div.stage", {}, this.canvas, this.cover);
    this.bar = h("canvas.ramp", { "aria-hidden": "true" });
    this.low = h("span", {}, "");
    this.high = h("span", {}, "");
    this.element = h(
      "section.panel", { "data-layer": layer, "aria-label": LAYERS[layer].title },
      h("header", {}, h("h2", { title: LAYERS[layer].about }, LAYERS[layer].title), this.value),
      this.stage,
      h("div.scale", { title: `log1p units; ${LAYERS[layer].about}` }, this.low, this.bar, this.high, h("span.unit", {}, "log1p")),
    );
    attach(this.canvas, { ...host.handlers, frame: () => this.frame() });
  }

  /** Name what is drawn, for those who hear it. */
  describe(gene) {
    this.canvas.setAttribute("aria-label", `${LAYERS[this.layer].title}, gene ${gene}: ${LAYERS[this.layer].about}`);
  }

  /** Where the view lies on this canvas, in pixels of the page. */
  frame() {
    return this.host.view.frame(this.stage.clientWidth || 1, this.stage.clientHeight || 1);
  }

  /** Take tiles, coarse ones first, and how to colour them. */
  show(tiles, colours, range) {
    const look = `${range.join()}/${this.host.blank}/${colours[0]}/${colours[128]}`;
    if (look !== this.look) {
      this.look = look;
      this.painted = new WeakMap();
      paintBar(this.bar, colours);
      this.low.textContent = figure(range[0]);
      this.high.textContent = figure(range[1]);
    }
    this.colours = colours;
    this.range = range;
    this.tiles = tiles;
    this.uncover();
    this.draw();
  }

  /** Say what stands in the way, with a way on. */
  fail(text, onRetry) {
    this.tiles = [];
    this.cover.replaceChildren(notice(text, "Try again", onRetry));
    this.cover.hidden = false;
    this.draw();
  }

  uncover() {
    this.cover.hidden = true;
    this.cover.replaceChildren();
  }

  #picture(tile) {
    let picture = this.painted.get(tile);
    if (!picture) {
      const isHexagonal = this.host.view.isHexagonal && tile.factor === 1;
      picture = paint(tile, this.colours, this.range, this.host.blank, { isHexagonal, isZeroBlank: this.layer === "std" });
      this.painted.set(tile, picture);
    }
    return picture;
  }

  draw() {
    const frame = this.frame();
    const ratio = Math.min(3, window.devicePixelRatio || 1);
    const [width, height] = [Math.round(frame.width * ratio), Math.round(frame.height * ratio)];
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    const context = this.canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, frame.width, frame.height);
    const { view, cursor } = this.host;
    for (const tile of this.tiles) {
      const step = tile.factor * frame.scale;
      const extra = view.isHexagonal && tile.factor === 1 ? 0.5 : 0;
      const left = frame.left + tile.x0 * step;
      const top = frame.top + tile.y0 * step * view.rowHeight;
      const right = left + (tile.width + extra) * step;
      const bottom = top + tile.height * step * view.rowHeight;
      if (right < 0 || bottom < 0 || left > frame.width || top > frame.height) continue;
      context.imageSmoothingEnabled = step < 1;
      const snap = (value) => Math.round(value * ratio) / ratio; // else seams show between tiles
      context.drawImage(this.#picture(tile), snap(left), snap(top), snap(right) - snap(left), snap(bottom) - snap(top));
    }
    if (this.host.marks && this.tiles.length) this.#drawMarks(context, frame);
    if (cursor) this.#drawCursor(context, frame, cursor);
    if (this.host.isFirst(this.layer) && this.tiles.length) drawRuler(context, frame, this.host.pitchUm);
    this.value.textContent = cursor ? figure(this.valueAt(cursor)) : "";
    // One finger scrolls the page until there is something to pan.
    this.canvas.style.touchAction = view.zoom > 1 ? "none" : "pan-y";
  }

  #drawMarks(context, frame) {
    const { view, observedAt } = this.host;
    if (frame.scale < MARK_PIXELS) return;
    const sight = view.sight(frame);
    const radius = Math.max(0.8, Math.min(4, frame.scale * 0.16));
    context.beginPath();
    for (let row = sight.top; row < sight.bottom; row++) {
      for (let column = sight.left; column < sight.right; column++) {
        if (!observedAt(row, column)) continue;
        const [x, y] = view.corner(frame, row, column);
        const [middle, down] = [x + frame.scale / 2, y + (frame.scale * view.rowHeight) / 2];
        context.moveTo(middle + radius, down);
        context.arc(middle, down, radius, 0, 2 * Math.PI);
      }
    }
    context.fillStyle = "#fff";
    context.fill();
    if (radius > 1.2) {
      context.lineWidth = Math.min(1, radius / 3);
      context.strokeStyle = "#000a";
      context.stroke();
    }
  }

  #drawCursor(context, frame, [row, column]) {
    const { view } = this.host;
    const [x, y] = view.corner(frame, row, column);
    const side = Math.max(frame.scale, 7);
    const [middle, down] = [x + frame.scale / 2, y + (frame.scale * view.rowHeight) / 2];
    for (const [colour, width] of [["#000", 3.5], ["#fff", 1.5]]) {
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.strokeRect(middle - side / 2 - 1, down - side / 2 - 1, side + 2, side + 2);
    }
  }

  /** Value at a bin, from the finest tile that holds it; NaN off tissue or not sampled, undefined where nothing is loaded. */
  valueAt([row, column]) {
    return valueIn(this.tiles, row, column);
  }
}

/** How long something is: a line of a round number of micrometres. */
function drawRuler(context, frame, pitchUm) {
  const most = Math.min(110, frame.width / 3);
  const micrometres = [1e4, 5e3, 2e3, 1e3, 500, 200, 100, 50, 20, 10, 5].find((each) => (each / pitchUm) * frame.scale <= most) ?? 2;
  const length = (micrometres / pitchUm) * frame.scale;
  const text = micrometres < 1e3 ? `${micrometres} µm` : `${micrometres / 1e3} mm`;
  const [left, bottom] = [9, frame.height - 9];
  context.font = "600 11px system-ui, sans-serif";
  context.fillStyle = "#fffd";
  context.fillRect(left - 4, bottom - 18, Math.max(length, context.measureText(text).width) + 8, 23);
  context.fillStyle = "#111";
  context.fillRect(left, bottom, length, 2);
  context.fillText(text, left, bottom - 5);
}

/** Value of a bin in tiles that go from coarse to fine. */
export function valueIn(tiles, row, column) {
  for (let i = tiles.length - 1; i >= 0; i--) {
    const tile = tiles[i];
    const y = Math.floor(row / tile.factor) - tile.y0;
    const x = Math.floor(column / tile.factor) - tile.x0;
    if (y >= 0 && x >= 0 && y < tile.height && x < tile.width) return tile.values[y * tile.width + x];
  }
  return undefined;
}
