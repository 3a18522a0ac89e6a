/* What stands above the panels: gene, layers, colours, range, marks, zoom, link. */

import { LAYERS } from "./data.js";
import { SCALES } from "./colours.js";
import { h } from "./dom.js";
import { GeneSearch } from "./search.js";
import { PERCENTILES } from "./state.js";

const isWide = window.matchMedia("(min-width: 641px)");

/** The tools of a section's view. */
export class Tools {
  constructor(view) {
    this.view = view;
    const { data, state } = view;
    this.search = new GeneSearch(data, (gene) => view.setGene(data.genes[gene]));
    this.trust = h("p.trust", { role: "status" });
    this.layers = new Map(data.shown.map((name) => [name, this.#layer(name)]));
    this.low = this.#number("Lowest value");
    this.high = this.#number("Highest value");
    this.range = h(
      "select", { "aria-label": "Range of the colours", onchange: () => this.#pickRange() },
      PERCENTILES.map((percent) => h("option", { value: `p${percent}` }, `${percent}–${100 - percent} %`)),
      h("option", { value: "own" }, "own"),
    );
    this.scale = h(
      "select", { "aria-label": "Colour scale", onchange: () => view.change({ scale: this.scale.value }) },
      Object.entries(SCALES).map(([name, title]) => h("option", { value: name }, title)),
    );
    this.scale.value = state.scale;
    this.marks = h("input", { type: "checkbox", onchange: () => view.change({ marks: this.marks.checked }) });
    this.marks.checked = state.marks;
    this.zoom = h("output.zoom", {}, "1×");
    this.link = h("button", { type: "button", onclick: () => this.#copy() }, "Copy link");
    this.element = h(
      "div.tools", { role: "toolbar", "aria-label": "What is shown" },
      h("div.row", {}, this.search.element, this.trust, h("fieldset.layers", {}, h("legend", {}, "Layers"), [...this.layers.values()])),
      h("details.more", { open: isWide.matches }, h("summary", {}, "Colours, zoom, link"), h(
        "div.row", {},
        h("fieldset", {}, h("legend", {}, "Colours"), this.scale, this.range, this.low, h("span.dash", {}, "–"), this.high),
        h("fieldset", {}, h("legend", {}, "View"), this.#button("−", "Zoom out", () => view.zoomBy(1 / 1.5)), this.zoom,
          this.#button("+", "Zoom in", () => view.zoomBy(1.5)), this.#button("Whole", "Show the whole section", () => view.reset()),
          h("label.check", { title: "White dots where was measured, once bins are 3 pixels large" }, this.marks, "Measured positions")),
        h("fieldset", {}, h("legend", {}, "Share"), this.link),
      )),
    );
    this.showZoom(state.zoom);
  }

  #button(text, title, onclick) {
    return h("button", { type: "button", title, "aria-label": title, onclick }, text);
  }

  #number(label) {
    return h("input.number", { type: "number", step: "0.1", "aria-label": label, onchange: () => this.#ownRange() });
  }

  #layer(name) {
    const button = h("button.layer", { type: "button", title: LAYERS[name].about, onclick: () => this.#toggle(name) }, LAYERS[name].title);
    button.setAttribute("aria-pressed", String(this.view.state.layers.includes(name)));
    return button;
  }

  #toggle(name) {
    const { state, data } = this.view;
    const wanted = state.layers.includes(name) ? state.layers.filter((each) => each !== name) : [...state.layers, name];
    if (!wanted.length) return; // something must be shown
    const layers = data.shown.filter((each) => wanted.includes(each));
    for (const [each, button] of this.layers) button.setAttribute("aria-pressed", String(layers.includes(each)));
    this.view.change({ layers });
  }

  #pickRange() {
    if (this.range.value === "own") this.#ownRange();
    else this.view.change({ percent: Number(this.range.value.slice(1)), range: null });
  }

  #ownRange() {
    const [low, high] = [this.low, this.high].map((input) => Number(input.value));
    const isGood = this.low.value !== "" && this.high.value !== "" && low < high;
    for (const input of [this.low, this.high]) input.setAttribute("aria-invalid", String(!isGood));
    if (isGood) this.view.change({ range: [low, high] });
  }

  /** Name the gene, and say whether it can be relied on. */
  showGene(gene) {
    const { data } = this.view;
    this.search.set(data.genes[gene]);
    const pcc = data.pcc[gene];
    const isReliable = data.isReliable(gene);
    const told = pcc === null ? "nobody knows how well it comes back" : `correlation ${pcc.toFixed(2)} at hidden positions`;
    const words = { true: ["Reliable", "good"], false: ["Not reliable", "bad"], null: ["Reliability unknown", "unknown"] }[String(isReliable)];
    const advice = isReliable === false ? "; leave its imputed values alone" : "";
    this.trust.title = "Pearson correlation at measured positions that were predicted without themselves";
    this.trust.replaceChildren(h(`span.pill.${words[1]}`, {}, words[0]), h("span", {}, `${told}${advice}`));
  }

  showRange([low, high]) {
    const { range, percent } = this.view.state;
    this.range.value = range ? "own" : `p${percent}`;
    for (const [input, value] of [[this.low, low], [this.high, high]]) {
      input.setAttribute("aria-invalid", "false");
      if (document.activeElement !== input) input.value = value.toFixed(2);
    }
  }

  showZoom(zoom) {
    this.zoom.textContent = `${zoom < 9.95 ? Number(zoom.toFixed(1)) : Math.round(zoom)}×`;
  }

  async #copy() {
    this.view.app.keep(this.view.hash());
    let said = "Copied";
    try {
      await navigator.clipboard.writeText(location.href);
    } catch {
      said = "It is in the address bar"; // no clipboard without a secure page or consent
    }
    this.link.textContent = said;
    setTimeout(() => { this.link.textContent = "Copy link"; }, 1800);
  }
}
