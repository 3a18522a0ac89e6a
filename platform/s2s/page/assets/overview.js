/* The overview: coverage of the atlas, its sections by tissue, its models, and what is missing with the reason. */

import { statement } from "./about.js";
import { afterwards, grouped, h, many } from "./dom.js";
import { formatHash } from "./state.js";

const STATES = { done: "imputed", running: "running", waiting: "waiting", failed: "failed", missing: "no model" };

/** The overview as an element; `keep(hash)` takes the permalink of its filter. */
export function overview(index, filter, keep) {
  const sections = index.sections.map((row) => ({ state: "done", reason: "", num_genes: 0, num_bins: 0, organism: "", technology: "", ...row }));
  const groups = byTissue(sections);
  const cards = new Map(sections.map((row) => [row.key, card(row)]));
  const count = h("p.quiet", { role: "status" });
  const lists = groups.map(([tissue, rows]) => tissueList(tissue, rows, cards));
  const none = h("p.notice", { hidden: true }, "No section fits.");
  const narrow = (text) => {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of sections) {
      const told = [row.key, row.tissue, row.organism, row.technology, STATES[row.state], row.gene].join(" ").toLowerCase();
      const fits = words.every((word) => told.includes(word));
      cards.get(row.key).hidden = !fits;
      shown += fits;
    }
    for (const list of lists) list.hidden = ![...list.querySelectorAll(".card")].some((each) => !each.hidden);
    none.hidden = shown > 0;
    count.textContent = words.length ? `${shown} of ${sections.length} sections` : "";
  };
  const keepSoon = afterwards((text) => keep(formatHash({ section: null, filter: text })), 200);
  const input = h("input", {
    type: "search", id: "filter", placeholder: "Filter: tissue, section, technology …", value: filter, autocomplete: "off", spellcheck: "false",
    oninput: () => { narrow(input.value); keepSoon(input.value); },
  });
  narrow(filter);
  const flags = { is_synthetic: sections.some((row) => row.is_synthetic), is_leaky: sections.some((row) => row.is_leaky) };
  return h(
    "div.overview", {},
    h("header.head", {}, h("p.kicker", {}, "S2S Atlas"), h("h1", {}, index.title), facts(sections), statement(flags)),
    h("section.block", {}, h("h2", {}, "Coverage"), coverage(groups), legend(sections)),
    h("section.block", {}, h("div.line", {}, h("h2", {}, "Sections"), h("label.quiet", { for: "filter" }, "Filter sections"), input), count, lists, none),
    missing(sections),
    models(index.models ?? []),
    h("footer", {}, h("p.dim", {}, `Built ${index.created_at.slice(0, 10)} by s2s ${index.code_version}.`)),
  );
}

function byTissue(sections) {
  const groups = new Map();
  for (const row of sections) groups.set(row.tissue, [...(groups.get(row.tissue) ?? []), row]);
  return [...groups].sort(([a], [b]) => (a < b ? -1 : 1));
}

function facts(sections) {
  const done = sections.filter((row) => row.state === "done");
  const genes = done.map((row) => row.num_genes);
  const [few, most] = [Math.min(...genes), Math.max(...genes)];
  const told = [
    many(done.length, "imputed section"), many(new Set(sections.map((row) => row.tissue)).size, "tissue"),
    few === most ? many(few, "gene") : `${grouped(few)} to ${grouped(most)} genes`,
    `${grouped(done.reduce((sum, row) => sum + row.num_bins, 0))} bins on tissue`,
    sections.length > done.length && `${sections.length - done.length} missing`,
  ];
  return h("p.facts", {}, told.filter(Boolean).map((fact) => h("span", {}, fact)));
}

/** A row per tissue, a square per section. */
function coverage(groups) {
  return h("div.coverage", {}, groups.map(([tissue, rows]) => {
    const done = rows.filter((row) => row.state === "done").length;
    const squares = rows.map((row) => {
      const title = `${row.key}: ${STATES[row.state]}${row.reason ? `; ${row.reason}` : ""}`;
      return row.state === "done"
        ? h("a", { class: "square done", href: `#/s/${row.key}`, title, "aria-label": title, tabindex: -1 })
        : h("span", { class: `square ${row.state}`, title });
    });
    return h("div.tissue", {}, h("span.name", {}, tissue), h("span.squares", { role: "img", "aria-label": `${done} of ${rows.length} imputed` }, squares),
      h("span.dim", {}, `${done} of ${rows.length}`));
  }));
}

function legend(sections) {
  const present = Object.keys(STATES).filter((state) => sections.some((row) => row.state === state));
  return h("p.legend", {}, present.map((state) => h("span", {}, h("span", { class: `square ${state}`, "aria-hidden": "true" }), STATES[state])));
}

function tissueList(tissue, rows, cards) {
  return h("section.group", { "aria-label": tissue }, h("h3", {}, tissue, h("span.dim", {}, ` ${rows.length}`)),
    h("ul.cards", {}, rows.map((row) => cards.get(row.key))));
}

function card(row) {
  if (row.state !== "done") {
    return h("li.card.gone", {}, h("div.picture", { "aria-hidden": "true" }, STATES[row.state]),
      h("p.title", {}, row.key), h("p.dim", { title: row.reason }, row.reason || STATES[row.state]));
  }
  const picture = row.gene
    ? h("img", { src: `sections/${row.key}/thumb.png`, alt: "", loading: "lazy", decoding: "async", width: 120, height: 96 })
    : h("span", {});
  const reliable = row.num_reliable === undefined || row.num_reliable === null ? "" : `, ${grouped(row.num_reliable)} reliable`;
  return h("li.card", {}, h("a", { href: `#/s/${row.key}` },
    h("div.picture", {}, picture, row.gene && h("span.gene", {}, row.gene)),
    h("p.title", {}, row.key),
    h("p.dim", {}, [row.technology, `${many(row.num_genes, "gene")}${reliable}`].filter(Boolean).join(" · ")),
    h("p.tags", {}, row.is_synthetic && h("span.badge.synthetic", {}, "synthetic"), row.is_leaky && h("span.badge.leaky", {}, "LEAKY"),
      row.has_truth && h("span.badge", {}, "truth known")),
  ));
}

/** Reasons, each once, with the sections that it keeps out. */
function missing(sections) {
  const reasons = new Map();
  for (const row of sections) {
    if (row.state === "done") continue;
    const reason = row.reason || `not imputed yet: ${STATES[row.state]}`;
    reasons.set(reason, [...(reasons.get(reason) ?? []), row.key]);
  }
  if (!reasons.size) return null;
  return h("section.block", {}, h("h2", {}, "What is missing, and why"), h("dl.reasons", {}, [...reasons].map(([reason, keys]) => h(
    "div", {}, h("dt", {}, reason), h("dd", {}, keys.length > 8 ? h("details", {}, h("summary", {}, many(keys.length, "section")), keys.join(", ")) : keys.join(", ")),
  ))));
}

function models(found) {
  if (!found.length) return null;
  return h("section.block", {}, h("h2", {}, "Models"), h("ul.models", {}, found.map((model) => h(
    "li.model", { id: `model-${model.key}` },
    h("h3", {}, model.name, model.version && h("span.dim", {}, ` version ${model.version}`)),
    h("p.tags", {}, model.is_synthetic && h("span.badge.synthetic", {}, "synthetic"), model.is_leaky && h("span.badge.leaky", {}, "LEAKY")),
    h("p", {}, `Trained on ${model.section_id}: ${model.technology}, ${model.pitch_um} µm, ${model.licence === "unknown" ? "licence unknown" : model.licence}.`),
    model.pcc !== undefined && h("dl.figures", {},
      figureOf("Correlation", model.pcc, 3), figureOf(`Best classical (${model.best_classical ?? "none"})`, model.best_classical_pcc, 3),
      figureOf("RMSE, log1p", model.rmse, 3), figureOf("90 % intervals hold", model.coverage_90 && 100 * model.coverage_90, 1, " %")),
    h("p.links", {}, model.card && h("a", { href: model.card }, "Whole card"),
      model.version_url && h("a", { href: model.version_url, target: "_blank", rel: "noopener noreferrer" }, "Version in MLflow ↗"),
      model.run_url && h("a", { href: model.run_url, target: "_blank", rel: "noopener noreferrer" }, "Training run ↗")),
  ))), h("p.dim", {}, "Means over genes on positions of their own section that were held out."));
}

function figureOf(name, value, digits, unit = "") {
  return value === undefined || value === null ? null : h("div", {}, h("dt", {}, name), h("dd", {}, value.toFixed(digits) + unit));
}
