/* What is said of a section in words: its head, and where everything comes from. */

import { grouped, h, many, size } from "./dom.js";

export const STATEMENT = "Imputed values are not measurements.";

/** The sentence that nobody may overlook, and labels of what is no real or no honest data. */
export function statement({ is_synthetic: isSynthetic, is_leaky: isLeaky }) {
  return h(
    "p.statement", {}, h("strong", {}, STATEMENT), " A model filled in what lies between the measured positions. ",
    isSynthetic && h("span.badge.synthetic", { title: "made by a generator, not measured" }, "synthetic"),
    isLeaky && h("span.badge.leaky", { title: "held-out positions reached its training: its scores say nothing" }, "LEAKY"),
  );
}

/** Title and key figures of a section. */
export function headOf(about, index) {
  const [rows, columns] = about.shape;
  const what = [about.organism, about.tissue].filter(Boolean).join(" ");
  const share = about.num_bins ? `${Math.round((100 * about.num_measured) / about.num_bins)} % of the tissue` : "";
  const facts = [
    what, about.technology, `${grouped(rows)} × ${grouped(columns)} ${about.lattice === "hexagonal" ? "hexagonal " : ""}bins of ${about.pitch_um} µm`,
    `${grouped(about.num_measured)} measured (${share})`, many(about.num_genes, "gene"),
  ].filter(Boolean);
  return h(
    "header.head", {},
    h("nav", { "aria-label": "Way back" }, h("a", { href: "#/" }, `← ${index.title === about.key ? "Overview" : index.title}`)),
    h("h1", {}, about.key),
    h("p.facts", {}, facts.map((fact) => h("span", {}, fact))),
    statement(about),
  );
}

/** Where everything comes from, how to take it home, and which keys work. */
export function aboutSection(about, index) {
  const model = (index.models ?? []).find((each) => each.key === about.model);
  return h(
    "div.about", {},
    h("section", {}, h("h2", {}, "Take it home"), download(about)),
    h("section", {}, h("h2", {}, "Where it comes from"), h("dl", {}, rows(origin(about, model)))),
    h("section", {}, h("h2", {}, "How to read it"), h("dl", {}, rows([
      ["Units", about.units],
      ["Truth", about.truth_note],
      ["Uncertainty", "standard deviation; at the cursor also the interval that holds nine of ten measurements"],
      ["Shown to", "0.05 % of a value: the AnnData holds it exactly"],
      ["Licence", about.licence],
    ]))),
    h("section", { id: "keys" }, h("h2", {}, "Keys"), h("dl.keys", {}, rows([
      ["/", "search a gene"], ["arrows", "move the cursor; with Shift ten bins"], ["+ and −", "zoom"], ["0", "the whole section"], ["m", "measured positions"],
    ]))),
  );
}

function rows(pairs) {
  return pairs.filter(([, told]) => told).map(([name, told]) => h("div", {}, h("dt", {}, name), h("dd", {}, told)));
}

function origin(about, model) {
  const version = model ? `${model.name}${model.version ? `, version ${model.version}` : ""}` : about.model_uri;
  return [
    ["Model", model?.version_url ? outward(model.version_url, version) : version],
    ["Trained by", model?.run_url ? outward(model.run_url, "the run in MLflow") : null],
    ["Card", model?.card ? h("a", { href: model.card }, "data, accuracy, calibration") : null],
    ["Sampled", about.stride > 1 ? `every ${about.stride === 2 ? "second" : `${about.stride}th`} row and column, from row ${about.phase[0]} and column ${about.phase[1]} on` : null],
    ["Donor", about.donor],
    ["Imputed", [about.made_at?.slice(0, 10), about.code_version && `by s2s ${about.code_version}`].filter(Boolean).join(" ")],
  ];
}

function outward(url, text) {
  return h("a", { href: url, rel: "noopener noreferrer", target: "_blank" }, `${text} ↗`);
}

function download(about) {
  if (about.download) {
    return h(
      "p", {}, h("a.button", { href: about.download.path, download: about.download.path.split("/").at(-1), id: "download" }, "Download the AnnData"),
      h("span.dim", {}, ` .h5ad, ${size(about.download.bytes)}: every layer, reliability and provenance`),
    );
  }
  return h("p", {}, "The AnnData with every layer is ", h("code", {}, about.source_uri), h("span.dim", {}, ". It is not part of this page; whoever built the page can add it with --with-anndata."));
}
