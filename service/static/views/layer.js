// What is known of one layer: latency over rank, and each candidate; or of all layers, in short.

import { legend, pointChart } from "../parts/chart.js";
import { facts as factList, make, table } from "../parts/dom.js";
import { count, decomposition, duration, fixed, percent, shape, times } from "../parts/texts.js";

const FIRST = 8; // layers that the summary names

/** The layer's figures, its staircase, and its candidates as a table. */
export function layerPanel(layer, facts, close) {
  const back = make("button", { type: "button", class: "quiet", onclick: close }, "All layers");
  const head = [make("div", { class: "bar" }, make("h2", {}, layer.name), make("span", { class: "spread" }, back))];
  const known = [["Shape", shape(layer.spec)], ["Operator", layer.op], ["MACs", count(layer.macs)], ["Parameters", count(layer.params)]];
  if (!facts) {
    const why = layer.reason || "Nothing of this layer was measured here.";
    return [...head, factList(known), make("p", {}, why)];
  }
  const best = facts.best ? `${times(facts.best.speedup)}` : "none is faster";
  const shared = facts.rows[0].spec.count > 1 ? make("p", { class: "soft small" }, `${facts.rows[0].spec.count} layers share this shape, and were measured as one.`) : null;
  return [...head,
    factList([["Latency", duration(facts.seconds), percent(facts.share)], ["Best candidate", best, facts.best ? decomposition(facts.best) : ""], ...known]),
    shared, ...staircase(layer, facts), candidates(facts.rows)].filter(Boolean);
}

const rank = (row) => Math.min(...row.ranks);

function staircase(layer, facts) {
  const rows = facts.rows.filter((row) => row.latency_s != null);
  if (!rows.length) return [];
  const kinds = [...new Set(rows.map((row) => row.kind))].sort();
  const original = facts.seconds;
  const series = kinds.map((kind) => {
    const points = rows.filter((row) => row.kind === kind).sort((a, b) => rank(a) - rank(b)).map((row) => point(row, original));
    return { label: kind, line: new Set(points.map(({ x }) => x)).size === points.length ? "steps" : "", points };
  });
  const { element } = pointChart({
    label: `Latency over rank of ${layer.name}: ${rows.length} candidates of ${kinds.join(", ")}; the table below has the figures`,
    series, across: { y: original, text: `original ${duration(original)}` }, fromZero: true,
    xTitle: "rank (the smaller one of a pair)", yTitle: "latency", yText: duration,
  });
  return [element, legend(kinds)];
}

function point(row, original) {
  const top = 1.6 * Math.max(original, row.latency_s); // an interval that is open above ends here
  const [low, high] = [row.speedup_high, row.speedup_low].map((speedup) => Math.min(top, row.original_latency_s / speedup));
  return { x: rank(row), y: row.latency_s, low, high, hollow: row.verdict === "UNDECIDED",
    text: `${decomposition(row)}\n${duration(row.latency_s)}, ${times(row.speedup)} ${row.verdict}` };
}

function candidates(rows) {
  const sorted = [...rows].sort((a, b) => (b.speedup ?? 0) - (a.speedup ?? 0));
  const columns = [["candidate"], ["speedup", "figure"], ["verdict"], ["latency", "figure"], ["interval", "figure"]];
  const shown = table("Candidates of this layer", columns, sorted.map((row) => [decomposition(row), times(row.speedup), make("span", { class: `verdict ${row.verdict}` }, row.verdict),
    duration(row.latency_s), row.speedup == null ? "" : `${fixed(row.speedup_low)} to ${fixed(row.speedup_high)}`]));
  return make("details", { open: rows.length <= 14 }, make("summary", {}, `${rows.length} candidates`), shown);
}

/** The layers that take most of the time, and what the best candidates save of them. */
export function summaryPanel(data, facts, pick) {
  const sorted = [...facts.byName].sort(([, a], [, b]) => b.share - a.share).slice(0, FIRST);
  if (!sorted.length) return [make("h2", {}, "Layers"), make("p", { class: "soft" }, "Choose a layer to see what is known of it.")];
  const link = (name) => make("button", { type: "button", class: "plain-button", onclick: () => pick(name) }, name);
  const rows = sorted.map(([name, one]) => [link(name), percent(one.share), one.saving ? duration(one.saving) : "-", one.best ? times(one.best.speedup) : "-"]);
  return [make("h2", {}, "Where the time goes"), table("The layers that take most of the time", [["layer"], ["time", "figure"], ["can save", "figure"], ["best", "figure"]], rows),
    make("p", { class: "soft small" }, "Choose a layer, here or in the picture, to see its latency over rank. Arrow keys walk through the picture.")];
}
