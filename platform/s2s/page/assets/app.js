/* The page's door: reads the index, follows the hash, and says what went wrong instead of staying blank. */

import { LoadError, fetchJson } from "./store.js";
import { h } from "./dom.js";
import { overview } from "./overview.js";
import { openSection } from "./section.js";
import { parseHash } from "./state.js";

const main = document.getElementById("main");
const banner = document.getElementById("problem");

const app = {
  index: null,
  view: null,
  turn: 0,

  /** Put a permalink into the address bar without leaving the view. */
  keep(hash) {
    if (location.hash !== hash && !(hash === "#/" && !location.hash)) history.replaceState(null, "", hash);
  },

  /** Say what went wrong, with a way on; null takes it back. */
  problem(error, retry) {
    banner.hidden = !error;
    banner.replaceChildren();
    if (error) banner.append(h("p", {}, error.message), h("button", { type: "button", onclick: retry }, "Try again"));
  },

  /** Told when something is drawn for the first time: tests and curious people find it among the performance entries. */
  drawn() {
    document.documentElement.dataset.drawn = String(Number(document.documentElement.dataset.drawn ?? 0) + 1);
    if (!performance.getEntriesByName("first-view").length) requestAnimationFrame(() => performance.mark("first-view"));
  },

  async go() {
    const turn = ++this.turn;
    const state = parseHash(location.hash);
    try {
      this.index ??= checked(await fetchJson("page.json"));
      const row = state.section && this.index.sections.find((each) => each.key === state.section);
      const isShown = row && (row.state ?? "done") === "done";
      const view = isShown ? await openSection(state, this) : null;
      if (turn !== this.turn) return;
      this.view?.stop();
      this.view = view;
      this.problem(null);
      if (view) await this.section(view);
      else this.showOverview(state, row);
    } catch (error) {
      if (!(error instanceof LoadError)) throw error;
      if (turn === this.turn) this.problem(error, () => this.go());
      if (!this.view) main.querySelector(".waiting")?.replaceChildren(h("p", {}, "Nothing could be loaded yet."));
    }
  },

  async section(view) {
    main.replaceChildren(view.element);
    window.scrollTo(0, 0);
    await view.start();
  },

  showOverview(state, row) {
    document.title = `${this.index.title} · S2S Atlas`;
    main.replaceChildren(overview(this.index, state.filter ?? "", (hash) => this.keep(hash)));
    if (state.section) {
      const why = row ? `it is not imputed: ${row.reason || row.state}` : "this page has no section of that name";
      this.problem(new Error(`Cannot show ${state.section}: ${why}. Here is the overview.`), () => this.go());
    }
    this.drawn();
  },
};

function checked(index) {
  if (index.kind !== "page" || index.version !== 1) throw new LoadError("damaged", "page.json", "written by a newer s2s");
  return index;
}

/** Keys that work everywhere but in a field. */
function onKey(event) {
  const isTyping = event.target.closest?.("input[type=text], input[type=search], input[type=number], select");
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
  const view = app.view;
  const work = {
    "/": () => document.getElementById(view ? "gene" : "filter")?.focus(),
    "+": () => view?.zoomBy(1.5), "=": () => view?.zoomBy(1.5), "-": () => view?.zoomBy(1 / 1.5), "0": () => view?.reset(),
    m: () => view?.tools.marks.click(),
  }[event.key];
  if (!work) return;
  event.preventDefault();
  work();
}

document.addEventListener("keydown", onKey);
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the hash is the permalink
  main.focus();
});
window.addEventListener("hashchange", () => app.go());
app.go();
