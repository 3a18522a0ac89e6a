/* The gene search: names that begin with what was typed, then names that hold it; never more than a dozen elements, however many genes. */

import { h } from "./dom.js";

const MOST = 12;

/** Indices of genes that fit, the best first; without a query those that came back best. */
export function findGenes(data, query, most = MOST) {
  const wanted = query.trim().toLowerCase();
  if (!wanted) return bestGenes(data, most);
  const [begin, hold] = [[], []];
  for (let i = 0; i < data.lowered.length; i++) {
    const at = data.lowered[i].indexOf(wanted);
    if (at === 0) begin.push(i);
    else if (at > 0 && hold.length < most) hold.push(i);
  }
  begin.sort((a, b) => data.lowered[a].length - data.lowered[b].length || (data.lowered[a] < data.lowered[b] ? -1 : 1));
  return [...begin, ...hold].slice(0, most);
}

/** Genes that came back best, those that can be relied on first; found once. */
function bestGenes(data, most) {
  data.best ??= [...data.genes.keys()]
    .filter((gene) => data.pcc[gene] !== null)
    .sort((a, b) => Number(data.isReliable(b)) - Number(data.isReliable(a)) || data.pcc[b] - data.pcc[a])
    .slice(0, 50);
  return data.best.slice(0, most);
}

/** Names near a name that is not there. */
export function nearGenes(data, name) {
  for (let length = name.length; length > 1; length--) {
    const found = findGenes(data, name.slice(0, length), 5);
    if (found.length) return found;
  }
  return bestGenes(data, 5);
}

/** A combobox as WAI-ARIA describes it; `onPick(index)` is told what was chosen. */
export class GeneSearch {
  constructor(data, onPick) {
    this.data = data;
    this.onPick = onPick;
    this.found = [];
    this.active = -1;
    this.input = h("input", {
      type: "text", role: "combobox", id: "gene", autocomplete: "off", autocapitalize: "off", spellcheck: "false",
      "aria-expanded": "false", "aria-controls": "genes", "aria-autocomplete": "list", placeholder: "Gene, for instance EPCAM",
      oninput: () => this.open(), onfocus: () => this.input.select(), onclick: () => this.open(""), onkeydown: (event) => this.#key(event),
      onblur: () => this.close(),
    });
    this.list = h("ul.genes", { role: "listbox", id: "genes", "aria-label": "Genes", hidden: true });
    this.status = h("span.quiet", { role: "status" });
    this.element = h("div.search", {}, h("label", { for: "gene" }, "Gene"), this.input, this.list, this.status);
  }

  /** Show the name of the gene that is drawn. */
  set(name) {
    this.name = name;
    this.input.value = name;
    this.close();
  }

  open(query = this.input.value) {
    this.found = findGenes(this.data, query);
    this.active = query.trim() && this.found.length ? 0 : -1;
    this.list.replaceChildren(...this.found.map((gene, place) => this.#option(gene, place)));
    if (!this.found.length) this.list.append(h("li.none", { "aria-disabled": "true" }, `No gene here is called “${query.trim()}”`));
    this.list.hidden = false;
    this.input.setAttribute("aria-expanded", "true");
    this.status.textContent = this.found.length ? `${this.found.length} genes` : "no gene";
    this.#mark();
  }

  close() {
    this.list.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
  }

  #option(gene, place) {
    const pcc = this.data.pcc[gene];
    const isReliable = this.data.isReliable(gene);
    const told = isReliable === false ? "not reliable" : "";
    return h(
      "li", { role: "option", id: `gene-${place}`, onpointerdown: (event) => { event.preventDefault(); this.#pick(place); } },
      h("span.name", {}, this.data.genes[gene]), h("span.doubt", {}, told), h("span.pcc", {}, pcc === null ? "" : pcc.toFixed(2)),
    );
  }

  #pick(place) {
    const gene = this.found[place];
    if (gene === undefined) return;
    this.set(this.data.genes[gene]);
    this.onPick(gene);
  }

  #mark() {
    [...this.list.children].forEach((option, place) => option.setAttribute("aria-selected", String(place === this.active)));
    if (this.active >= 0) this.input.setAttribute("aria-activedescendant", `gene-${this.active}`);
    else this.input.removeAttribute("aria-activedescendant");
    this.list.children[this.active]?.scrollIntoView({ block: "nearest" });
  }

  #key(event) {
    const isOpen = !this.list.hidden;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (!isOpen) this.open(this.input.value === this.name ? "" : this.input.value);
      const count = this.found.length;
      if (count) this.active = (this.active + (event.key === "ArrowDown" ? 1 : this.active < 0 ? 0 : -1) + count) % count;
      this.#mark();
    } else if (event.key === "Enter") {
      event.preventDefault();
      const exact = this.found.findIndex((gene) => this.data.lowered[gene] === this.input.value.trim().toLowerCase());
      if (isOpen) this.#pick(this.active >= 0 ? this.active : exact);
    } else if (event.key === "Escape") {
      this.set(this.name);
      event.stopPropagation();
    }
  }
}
