/* One section as the view sees it: what it is, its genes, and tiles of its layers at two levels (all bins, or an overview). */

import { LoadError, fetchJson } from "./store.js";
import { ZarrArray, cut } from "./zarr.js";

export const LAYERS = {
  sampled: { title: "Sampled", about: "what was measured; grey where nothing was" },
  imputed: { title: "Imputed", about: "measured where measured, filled in by a model elsewhere" },
  std: { title: "Uncertainty", about: "standard deviation of the imputed values; grey where measured" },
  truth: { title: "Truth", about: "what was measured everywhere, hidden from the model" },
};

/** A section whose attributes and genes are there; arrays are opened when first read. */
export class SectionData {
  constructor(base, group, genes) {
    const about = group.attributes;
    this.base = base;
    this.about = about;
    this.metas = group.consolidated_metadata?.metadata ?? {};
    this.genes = genes.names;
    this.pcc = genes.pcc;
    this.reliable = genes.reliable;
    this.lowered = this.genes.map((name) => name.toLowerCase());
    this.places = new Map(this.lowered.map((name, place) => [name, place]));
    this.arrays = new Map();
    this.tiles = new Map();
    this.shown = Object.keys(LAYERS).filter((name) => name === "sampled" || about.layers.includes(name));
  }

  /** Open the section with this key. */
  static async open(key) {
    const base = `sections/${key}`;
    const [group, genes] = await Promise.all([fetchJson(`${base}/zarr.json`), fetchJson(`${base}/genes.json.gz`)]);
    if (group.attributes?.kind !== "page_section") throw new LoadError("damaged", `${base}/zarr.json`, "no section");
    if (group.attributes.version !== 1) throw new LoadError("damaged", `${base}/zarr.json`, "written by a newer s2s");
    return new SectionData(base, group, genes);
  }

  /** Index of a gene by its name, whatever the case; -1 where there is none. */
  find(name) {
    return this.places.get((name ?? "").toLowerCase()) ?? -1;
  }

  /** true, false, or null where nobody knows. */
  isReliable(gene) {
    return this.reliable ? Boolean(this.reliable[gene]) : null;
  }

  /** Width and height of a bin's row in bins: hexagonal rows lie closer together. */
  get rowHeight() {
    return this.about.lattice === "hexagonal" ? Math.sqrt(3) / 2 : 1;
  }

  /** Levels from fine to coarse, as bins per value. */
  get levels() {
    return this.about.overview_factor > 1 ? [1, this.about.overview_factor] : [1];
  }

  #array(name, factor) {
    const below = `${factor > 1 ? "overview/" : ""}${name}`;
    const path = `${this.base}/${below}`;
    if (!this.arrays.has(path)) {
      const meta = this.metas[below]; // the group repeats it, which saves a request
      const opened = meta ? Promise.resolve(new ZarrArray(path, meta)) : ZarrArray.open(path);
      opened.catch(() => this.arrays.delete(path)); // a failure is asked for anew when the user tries again
      this.arrays.set(path, opened);
    }
    return this.arrays.get(path);
  }

  /** Rows and columns of tiles at a level. */
  async grid(factor) {
    return (await this.#array("imputed", factor)).grid;
  }

  /** Side of the tiles of a level, in bins: [height, width]. */
  async tileSize(factor) {
    return (await this.#array("imputed", factor)).chunk.slice(1).map((side) => side * factor);
  }

  /** One tile: {values, tissue, y0, x0, height, width, factor}; y0, x0 in values of its level. `tissue` is finite on tissue. */
  tile(layer, gene, factor, row, column) {
    const key = [layer, gene, factor, row, column].join("/");
    if (!this.tiles.has(key)) {
      const made = this.#make(layer, gene, factor, row, column);
      made.catch(() => this.tiles.delete(key));
      this.tiles.set(key, made);
      if (this.tiles.size > 400) this.tiles.delete(this.tiles.keys().next().value);
    }
    return this.tiles.get(key);
  }

  async #make(layer, gene, factor, row, column) {
    const imputed = await (await this.#array("imputed", factor)).tile(gene, row, column);
    if (layer === "imputed") return { ...imputed, tissue: imputed.values, factor };
    if (layer !== "sampled" || factor > 1) {
      const tile = await (await this.#array(layer, factor)).tile(gene, row, column);
      return { ...tile, tissue: imputed.values, factor };
    }
    const observed = await this.observed(row, column);
    const values = new Float32Array(imputed.values.length).fill(NaN);
    for (let i = 0; i < values.length; i++) if (observed.values[i]) values[i] = imputed.values[i];
    return { ...imputed, values, tissue: imputed.values, factor };
  }

  /** Where was measured, in the tiles of the fine level. */
  async observed(row, column) {
    const array = await this.#array("observed", 1);
    return cut(await array.read([row, column]), array.shape, array.chunk, row, column);
  }
}
