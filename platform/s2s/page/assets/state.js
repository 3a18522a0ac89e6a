/* What a permalink holds: the section, the gene, the layers, the view, the colours. A hash that makes no sense falls back, part by part. */

import { LAYERS } from "./data.js";
import { SCALES } from "./colours.js";

export const PERCENTILES = [0, 1, 2, 5];
export const DEFAULTS = { gene: null, layers: null, zoom: 1, x: 0.5, y: 0.5, scale: "viridis", percent: 1, range: null, marks: false };
export const MAX_ZOOM = 400;

/** Read a hash: {section: key or null, ...view}. x and y are the centre of the view as shares of the section. */
export function parseHash(hash) {
  const [path, query] = hash.replace(/^#/, "").split("?");
  const match = /^\/s\/([a-z0-9][a-z0-9._-]*)$/.exec(path);
  if (!match) return { section: null, filter: new URLSearchParams(query).get("q") ?? "" };
  const words = new URLSearchParams(query);
  const layers = (words.get("l") ?? "").split(",").filter((name) => name in LAYERS);
  const range = (words.get("r") ?? "").split("~").map(Number);
  const percent = Number((words.get("r") ?? "").replace(/^p/, "") || NaN);
  return {
    ...DEFAULTS,
    section: match[1],
    gene: words.get("g"),
    layers: layers.length ? [...new Set(layers)] : null,
    zoom: between(words.get("z"), 1, MAX_ZOOM, 1),
    x: between(words.get("x"), 0, 1, 0.5),
    y: between(words.get("y"), 0, 1, 0.5),
    scale: words.get("c") in SCALES ? words.get("c") : DEFAULTS.scale,
    percent: PERCENTILES.includes(percent) ? percent : DEFAULTS.percent,
    range: range.length === 2 && range.every(Number.isFinite) && range[0] < range[1] ? range : null,
    marks: words.get("m") === "1",
  };
}

/** Write a hash; what is at its default is left out, but for gene and layers, so that a link says what it shows. */
export function formatHash(state) {
  if (!state.section) return state.filter ? `#/?q=${encodeURIComponent(state.filter)}` : "#/";
  const words = [];
  if (state.gene) words.push(`g=${encodeURIComponent(state.gene)}`);
  if (state.layers) words.push(`l=${state.layers.join(",")}`);
  if (state.zoom > 1) words.push(`z=${short(state.zoom, 2)}`, `x=${short(state.x, 4)}`, `y=${short(state.y, 4)}`);
  if (state.scale !== DEFAULTS.scale) words.push(`c=${state.scale}`);
  if (state.range) words.push(`r=${state.range.map((value) => short(value, 4)).join("~")}`);
  else if (state.percent !== DEFAULTS.percent) words.push(`r=p${state.percent}`);
  if (state.marks) words.push("m=1");
  return `#/s/${state.section}${words.length ? `?${words.join("&")}` : ""}`;
}

function between(text, low, high, otherwise) {
  const value = Number(text ?? NaN);
  return Number.isFinite(value) && text !== "" ? Math.min(high, Math.max(low, value)) : otherwise;
}

function short(value, digits) {
  return String(Number(value.toFixed(digits)));
}
