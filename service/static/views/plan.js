// One plan: what it promises, what was measured of it, each decision with its reason, and its files.

import { address, read } from "../parts/api.js";
import { go, link } from "../parts/address.js";
import { draw, facts, make } from "../parts/dom.js";
import { submit } from "../parts/jobs.js";
import { longTable } from "../parts/rows.js";
import { decomposition, duration, fixed, interval, mebibytes, objective, shape, times, when } from "../parts/texts.js";

export async function show(page, { parts: [key], current }) {
  const [plan, { items: networks }, { items: made }, { items: verified }] = await Promise.all([
    read(`/plans/${key}`), read("/networks?limit=1000"), read(`/applied?plan=${key}`), read(`/verifications?plan=${key}`)]);
  if (!current()) return;
  const network = networks.find((one) => one.sha256 === plan.model.sha256);
  const name = network ? make("a", { href: link(["networks", network.id, "plans"], { with: key }) }, network.name) : plan.model.source;
  const replaced = plan.layers.filter((layer) => layer.decomposition.kind !== "original");
  page.append(make("h1", {}, `Plan ${key.slice(0, 8)}`),
    make("p", { class: "soft" }, "for ", name, ` on ${plan.device.backend}: ${objective(plan.objective)}; made ${when(plan.created_at)}`),
    facts([["Predicted speedup", times(plan.predicted.speedup)], ["Measured speedup", plan.verified ? times(plan.verified.speedup) : "not yet"],
      ["Predicted network error", fixed(plan.predicted.network_error, 4)], ["Measured network error", fixed(plan.verified?.fidelity.relative_error, 4)],
      ["Layers replaced", `${replaced.length} of ${plan.layers.length}`]]),
    actions(key, made, network && network.format !== "store"), make("div", { class: "grid" }, agreement(plan, verified), promise(plan)), decisions(plan));
}

/** `here`: whether the network's file is, which verifying and writing need. */
function actions(key, made, here) {
  const file = (text, href, name) => make("a", { class: "button quiet", href, download: name }, text);
  const ask = (text, path) => make("button", { type: "button", onclick: async () => {
    const job = await submit(path, { plan: key });
    if (job) go(["jobs", job.id]);
  } }, text);
  const work = here ? [ask("Verify", "/verifications"), ask("Write compressed network", "/applied")]
    : [make("span", { class: "soft" }, "The network's file is not here: ", make("a", { href: link(["measure"]) }, "upload it"), " to verify the plan or write the compressed network.")];
  return make("div", { class: "links", id: "plan-actions" }, work,
    file("Plan (JSON)", address(`/plans/${key}?download=true`), "plan.json"),
    make("a", { class: "button quiet", href: address(`/plans/${key}/report`), target: "_blank", rel: "noopener" }, "Report"),
    file("Report (file)", address(`/plans/${key}/report?download=true`), "report.html"),
    made.map((one) => file(`Compressed .${one.format} (${mebibytes(one.bytes)})`, address(`/applied/${one.id}/file`), `compressed.${one.format}`)));
}

const OPEN = 1.5; // intervals that are open above go on beyond the scale

/** The predicted speedup above those that were measured, on one scale. */
function agreement(plan, verified) {
  const lines = [["predicted", plan.predicted, "fill"], ...verified.map((one) => [`measured ${when(one.at)}`, one, "measured"])].filter(([, one]) => one.speedup != null);
  const most = 1.1 * Math.max(1, ...lines.map(([, one]) => Math.min(one.speedup_high ?? one.speedup, OPEN * one.speedup)));
  const bars = lines.flatMap(([text, one, kind]) => [make("span", {}, text), bar(one, most, kind), make("span", { class: "number" }, interval(one))]);
  const off = plan.verified && plan.predicted.speedup ? `The prediction was off by ${fixed(100 * Math.abs(plan.predicted.speedup / plan.verified.speedup - 1), 1)} %.` : "Nothing was measured of it yet: verify it.";
  return make("section", { class: "card" }, make("h2", {}, "Predicted and measured"), make("div", { class: "bars" }, bars), make("p", { class: "soft small" }, `${off} The dashed line is the original's speed.`));
}

function bar(value, most, kind) {
  const x = (speedup) => `${Math.min(100, (100 * speedup) / most)}%`;
  return draw("svg", { "aria-hidden": "true" }, draw("rect", { class: "base", x: 0, y: 5, width: "100%", height: 8, rx: 4 }),
    draw("rect", { class: kind, x: 0, y: 5, width: x(value.speedup), height: 8, rx: 4 }),
    value.speedup_low == null ? null : draw("line", { class: "whisker", x1: x(value.speedup_low), x2: x(value.speedup_high), y1: 9, y2: 9 }),
    draw("line", { class: "one", x1: x(1), x2: x(1), y1: 0, y2: 18 }));
}

function promise(plan) {
  const told = plan.promise;
  const text = !told ? "No limit was promised." : told.confirmed
    ? `With probability ${Math.round(told.confidence * 100)} %, the network error on new pictures is at most ${told.max_error}: confirmed on ${told.pictures} ${told.pictures === 1 ? "picture" : "pictures"} that the search had not read.`
    : `Nothing is promised of new pictures: ${told.reason}`;
  const search = plan.search.gap == null ? "" : `Of the best that sums of layers allow, the search left ${fixed(plan.search.gap * 100, 1)} %.`;
  return make("section", { class: "card" }, make("h2", {}, "What it promises"), make("p", {}, text), make("p", { class: "soft small" }, [search, ...(plan.notes ?? [])].filter(Boolean).join(" ")));
}

function decisions(plan) {
  const sort = { by: "place", falling: false };
  const columns = [
    { key: "layer", title: "layer", class: "w14", cell: (row) => row.name, order: (row) => row.name, hint: (row) => row.name },
    { key: "shape", title: "shape", class: "w8", cell: (row) => shape(row.spec) || row.op },
    { key: "becomes", title: "becomes", class: "w10", cell: (row) => `${row.decomposition.kind === "original" ? "" : "\u25BC "}${decomposition(row.decomposition)}`, order: (row) => decomposition(row.decomposition) },
    { key: "before", title: "latency before", class: "figure w8", cell: (row) => duration(row.original_latency_s), order: (row) => row.original_latency_s },
    { key: "after", title: "after", class: "figure w6", cell: (row) => duration(row.predicted_latency_s), order: (row) => row.predicted_latency_s },
    { key: "speedup", title: "speedup", class: "figure w6", cell: (row) => times(row.speedup), order: (row) => row.speedup },
    { key: "error", title: "layer error", class: "figure w7", cell: (row) => fixed(row.layer_error, 4), order: (row) => row.layer_error },
    { key: "reason", title: "reason", class: "w20", cell: (row) => row.reason, order: (row) => row.reason, hint: (row) => row.reason },
  ];
  const only = make("input", { type: "checkbox", id: "replaced-only", onchange: () => fill() });
  const shown = longTable({ label: "Decisions", columns, sort, sorted: () => fill() });
  const fill = () => shown.show(plan.layers.filter((layer) => !only.checked || layer.decomposition.kind !== "original"));
  fill();
  return make("section", { class: "card" }, make("div", { class: "bar" }, make("h2", {}, "Decisions"), make("label", { class: "check" }, only, "only replaced layers")), shown.element);
}
