/* The view of one section: it loads what is asked for, lets the panels draw it, and keeps the permalink. */

import { LoadError } from "./store.js";
import { LAYERS, SectionData } from "./data.js";
import { loadScales, otherScale, percentileRange } from "./colours.js";
import { afterwards, figure, grouped, h } from "./dom.js";
import { Panel, valueIn } from "./panel.js";
import { nearGenes } from "./search.js";
import { Sight } from "./sight.js";
import { Tools } from "./tools.js";
import { View } from "./view.js";
import { formatHash } from "./state.js";
import { aboutSection, headOf } from "./about.js";

const USUAL = ["sampled", "imputed", "std", "truth"];

/** Open a section and give its view; `app` has index, keep(hash), problem(error, retry). */
export async function openSection(state, app) {
  const [data, scales] = await Promise.all([SectionData.open(state.section), loadScales()]);
  return new SectionView(data, scales, state, app);
}

class SectionView {
  constructor(data, scales, state, app) {
    Object.assign(this, { data, scales, app, state: { ...state }, cursor: null, turn: 0 });
    this.view = new View(data.about, data.rowHeight);
    Object.assign(this.view, { zoom: state.zoom, x: state.x, y: state.y });
    this.state.layers = (state.layers ?? USUAL).filter((name) => data.shown.includes(name)).slice(0, 4);
    if (!this.state.layers.length) this.state.layers = data.shown.slice(0, 4);
    this.sight = new Sight(data, this.view);
    this.handlers = { view: this.view, changed: () => this.moved(), cursor: (bin) => this.point(bin), step: (...words) => this.#step(...words) };
    this.panels = new Map(data.shown.map((name) => [name, new Panel(name, this)]));
    this.tools = new Tools(this);
    this.keep = afterwards(() => app.keep(this.hash()), 150);
    this.speak = afterwards((text) => { this.live.textContent = text; }, 350);
    this.refine = afterwards(() => this.load(), 120);
    this.live = h("p.quiet", { "aria-live": "polite" });
    this.readout = h("p.readout", {}, "Point at the tissue, or use the arrow keys, to read values.");
    this.message = h("div.message", { role: "status" });
    this.grid = h("div.panels", { role: "group", "aria-label": "Layers of the section, linked" });
    this.element = h(
      "div.section", {}, headOf(data.about, app.index), this.tools.element, this.message, this.grid, this.readout, this.live,
      aboutSection(data.about, app.index),
    );
    this.theme = window.matchMedia("(prefers-color-scheme: dark)");
    this.onTheme = () => this.load();
    this.theme.addEventListener("change", this.onTheme);
    this.watch = new ResizeObserver(() => this.#arrange());
  }

  /** Begin: called once the element stands in the page. */
  start() {
    this.watch.observe(this.grid);
    this.watch.observe(document.documentElement);
    this.#arrangePanels();
    return this.setGene(this.state.gene ?? this.data.about.gene);
  }

  stop() {
    this.turn++;
    this.watch.disconnect();
    this.theme.removeEventListener("change", this.onTheme);
  }

  get title() {
    return `${this.data.genes[this.gene] ?? ""} · ${this.data.about.key}`;
  }

  get observedAt() {
    return this.sight.observedAt;
  }

  get pitchUm() {
    return this.data.about.pitch_um;
  }

  isFirst(layer) {
    return layer === this.state.layers[0];
  }

  get marks() {
    return this.state.marks;
  }

  /** Colour of tissue where a layer holds no value. */
  get blank() {
    const [r, g, b] = this.theme.matches ? [62, 66, 70] : [221, 224, 226];
    return new Uint32Array(new Uint8Array([r, g, b, 255]).buffer)[0];
  }

  /** The permalink of what is shown. */
  hash() {
    const { zoom, x, y } = this.view;
    return formatHash({ ...this.state, gene: this.data.genes[this.gene], zoom, x, y });
  }

  /** Draw a gene by its name; a name that is not there is said, and the nearest ones offered. */
  setGene(name) {
    let gene = this.data.find(name);
    this.message.replaceChildren();
    if (gene < 0) {
      gene = Math.max(0, this.data.find(this.data.about.gene));
      const near = nearGenes(this.data, name).map((found) => h("button.link", { type: "button", onclick: () => this.setGene(this.data.genes[found]) }, this.data.genes[found]));
      this.message.append(h("div.notice", {}, h("p", {}, `There is no gene “${name}” in this section; ${this.data.genes[gene]} is shown instead. Try: `, near)));
    }
    this.gene = gene;
    this.ranges = null;
    this.tools.showGene(gene);
    for (const panel of this.panels.values()) panel.describe(this.data.genes[gene]);
    document.title = `${this.title} · S2S Atlas`;
    this.keep();
    return this.load();
  }

  /** Change a part of the state: layers, scale, percent, range, marks. */
  change(part) {
    Object.assign(this.state, part);
    if ("layers" in part) this.#arrangePanels();
    this.ranges = null;
    this.keep();
    return this.load();
  }

  /** The view has moved: draw at once, fetch finer tiles a little later. */
  moved() {
    this.drawSoon();
    this.keep();
    if (this.data.levels.length > 1 || this.state.marks) this.refine();
    this.tools.showZoom(this.view.zoom);
  }

  zoomBy(factor) {
    const frame = this.#first().frame();
    this.view.zoomAt(frame, frame.width / 2, frame.height / 2, factor);
    this.moved();
  }

  reset() {
    this.view.reset();
    this.moved();
  }

  /** Put the cursor on a bin, in all panels. */
  point(bin) {
    if (this.cursor && bin[0] === this.cursor[0] && bin[1] === this.cursor[1]) return;
    this.cursor = bin;
    this.drawSoon();
    this.#read();
  }

  #step(dy, dx, isFar) {
    const { rows, columns } = this.view;
    const [row, column] = this.cursor ?? [Math.floor(rows / 2), Math.floor(columns / 2)];
    const far = isFar ? 10 : 1;
    const to = this.cursor ? [row + far * dy, column + far * dx] : [row, column];
    this.point([Math.max(0, Math.min(rows - 1, to[0])), Math.max(0, Math.min(columns - 1, to[1]))]);
    this.view.follow(this.#first().frame(), this.cursor);
    this.moved();
  }

  #first() {
    return this.panels.get(this.state.layers[0]);
  }

  drawSoon() {
    this.pending ??= requestAnimationFrame(() => {
      this.pending = null;
      for (const layer of this.state.layers) this.panels.get(layer).draw();
    });
  }

  /** Fetch what is in sight of every layer, and draw it. A newer call makes an older one give up. */
  async load() {
    const turn = ++this.turn;
    const gene = this.gene;
    this.grid.setAttribute("aria-busy", "true");
    const frame = this.#first().frame();
    if (this.state.marks) await this.sight.observe(frame).catch(() => {}); // the marks can wait, the layers say what is wrong
    const loaded = await Promise.all(this.state.layers.map(async (layer) => {
      try {
        return [layer, await this.sight.tiles(layer, gene, frame)];
      } catch (error) {
        if (!(error instanceof LoadError)) throw error;
        return [layer, error];
      }
    }));
    if (turn !== this.turn) return;
    this.grid.setAttribute("aria-busy", "false");
    const failed = loaded.filter(([, found]) => found instanceof LoadError);
    this.app.problem(failed.find(([, error]) => error.kind === "dead")?.[1] ?? null, () => this.load());
    for (const [layer, error] of failed) this.panels.get(layer).fail(error.message, () => this.load());
    const good = new Map(loaded.filter(([, found]) => !(found instanceof LoadError)));
    this.#show(good);
    this.#read();
    this.app.drawn();
  }

  #show(good) {
    if (!good.size) return;
    this.ranges ??= this.#findRanges(good);
    for (const [layer, tiles] of good) {
      const isDoubt = layer === "std";
      const colours = this.scales[isDoubt ? otherScale(this.state.scale) : this.state.scale];
      this.panels.get(layer).show(tiles, colours, isDoubt ? this.ranges.std : this.ranges.values);
    }
    this.tools.showRange(this.ranges.values);
  }

  /** Samples, imputed values and truth share one range, so that their colours can be compared. */
  #findRanges(good) {
    const coarse = (layer) => good.get(layer)?.filter((tile) => tile.factor === this.data.levels.at(-1)).map((tile) => tile.values) ?? [];
    const values = ["imputed", "truth", "sampled"].map(coarse).find((found) => found.length) ?? [];
    const std = percentileRange(coarse("std"), this.state.percent);
    return { values: this.state.range ?? percentileRange(values, this.state.percent), std: [0, std[1]] };
  }

  /** Say what stands at the cursor; the interval is fetched if it is not there yet. */
  async #read() {
    if (!this.cursor) return;
    const [gene, cursor, turn] = [this.gene, this.cursor, this.turn];
    const text = () => this.state.layers.map((layer) => `${LAYERS[layer].title} ${figure(this.panels.get(layer).valueAt(cursor))}`);
    this.#tell(text(), null);
    if (!this.data.about.layers.includes("lower_90") || !this.data.about.layers.includes("upper_90")) return;
    try {
      const [low, high] = await Promise.all(["lower_90", "upper_90"].map((layer) => this.sight.tiles(layer, gene, this.#first().frame())));
      if (turn === this.turn && cursor === this.cursor) this.#tell(text(), [valueIn(low, ...cursor), valueIn(high, ...cursor)]);
    } catch (error) {
      if (!(error instanceof LoadError)) throw error; // the values stand without their interval
    }
  }

  #tell(parts, interval) {
    const [row, column] = this.cursor;
    const { pitch_um: pitch } = this.data.about;
    const where = `row ${grouped(row)}, column ${grouped(column)}`;
    const x = Math.round((column + 0.5 + this.view.shift(row)) * pitch);
    const y = Math.round((row + 0.5) * this.view.rowHeight * pitch);
    const isInside = interval && Number.isFinite(interval[0]);
    if (isInside) parts.push(interval[1] - interval[0] < 0.005 ? "measured here" : `90 % interval ${figure(interval[0])} to ${figure(interval[1])}`);
    else if (interval) parts.push("off tissue");
    this.readout.replaceChildren(
      h("strong", {}, this.data.genes[this.gene]), ` at ${where} `, h("span.dim", {}, `· ${grouped(x)} µm right, ${grouped(y)} µm down`),
      ...parts.map((part) => h("span.part", {}, part)),
    );
    this.speak(`${where}: ${parts.join(", ")}`);
  }

  #arrangePanels() {
    this.grid.replaceChildren(...this.state.layers.map((layer) => this.panels.get(layer).element));
    this.#arrange();
  }

  /** As many columns as make the panels largest. */
  #arrange() {
    const count = this.state.layers.length;
    const width = this.grid.clientWidth;
    if (!width) return;
    const room = Math.max(320, window.innerHeight - Math.min(this.grid.offsetTop, 300) - 70);
    const gap = 12;
    let best = { area: 0 };
    for (let columns = 1; columns <= count; columns++) {
      const rows = Math.ceil(count / columns);
      const wide = (width - gap * (columns - 1)) / columns;
      const high = Math.max(110, (room - gap * (rows - 1)) / rows - 64);
      const fit = Math.min(wide, high * this.view.aspect);
      if (fit > best.area) best = { area: fit, columns, high: Math.min(high, Math.max(140, wide / this.view.aspect)) };
    }
    this.grid.style.gridTemplateColumns = `repeat(${best.columns}, minmax(0, 1fr))`;
    for (const panel of this.panels.values()) panel.stage.style.height = `${Math.round(best.high)}px`;
    this.drawSoon();
  }
}
