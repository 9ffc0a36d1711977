// The network's plans: a list, and those that were ticked side by side.

import { read } from "../parts/api.js";
import { link, note } from "../parts/address.js";
import { make, table } from "../parts/dom.js";
import { fileMissing, planForm } from "../parts/searching.js";
import { decomposition, duration, fixed, interval, objective, times, when } from "../parts/texts.js";

const FIRST = 3; // plans that are compared until others are ticked

export async function draw(body, { id, data, query }) {
  const plans = (await read(`/plans?network=${data.network.sha256}&limit=100`)).items;
  const form = data.network.format === "store" ? fileMissing("plan", data.network)
    : make("details", { class: "card", open: !plans.length }, make("summary", {}, "Make a plan for a limit of your own"), await planForm(id));
  if (!plans.length) return body.replaceChildren(make("p", {}, "There is no plan for this network yet. Choose a point of its ", make("a", { href: link(["networks", id, "front"]) }, "front"), ", or set a limit here."), form);
  const known = new Set(plans.map((one) => one.key));
  const asked = (query.get("with") ?? "").split(" ").filter((key) => known.has(key));
  const ticked = new Set(asked.length ? asked : plans.slice(0, FIRST).map((one) => one.key));
  const place = make("div", { id: "compared" });
  let asked_last = 0;

  async function compare() {
    const mine = ++asked_last;
    const chosen = plans.filter((one) => ticked.has(one.key));
    const documents = await Promise.all(chosen.map((one) => read(`/plans/${one.key}`)));
    if (mine === asked_last) place.replaceChildren(...(chosen.length ? sideBySide(chosen, documents, data) : [make("p", { class: "soft" }, "Tick plans to see them side by side.")]));
  }

  const tick = (plan) => make("input", { type: "checkbox", checked: ticked.has(plan.key), "aria-label": `Compare plan ${plan.key.slice(0, 8)}`, onchange: (event) => {
    if (event.target.checked) ticked.add(plan.key);
    else ticked.delete(plan.key);
    note({ with: [...ticked].join(" ") });
    compare();
  } });
  const rows = plans.map((one) => [make("a", { href: link(["plans", one.key]) }, one.key.slice(0, 8)), tick(one), interval(one.predicted), one.verified ? interval(one.verified) : "not yet",
    fixed(one.verified?.fidelity.relative_error ?? one.predicted.network_error, 4), objective(one.objective), one.backend, `${one.replaced} of ${one.layers}`, when(one.created_at)]);
  const columns = [["plan"], ["compare"], ["predicted", "figure"], ["measured", "figure"], ["network error", "figure"], ["limit"], ["device"], ["replaced", "figure"], ["made", "date"]];
  body.replaceChildren(make("section", { class: "card" }, make("h2", {}, "Plans"), table("Plans of this network", columns, rows)), place, form);
  await compare();
  return undefined;
}

function sideBySide(notes, plans, data) {
  const head = (first) => [[first], ...notes.map((one) => [make("a", { href: link(["plans", one.key]) }, one.key.slice(0, 8))])];
  const line = (title, of) => [title, ...plans.map((plan, at) => of(plan, notes[at]))];
  const figures = [
    line("limit", (plan) => objective(plan.objective)), line("device", (plan) => plan.device.backend),
    line("predicted speedup", (plan) => interval(plan.predicted)), line("measured speedup", (plan) => (plan.verified ? interval(plan.verified) : "not yet")),
    line("predicted network error", (plan) => fixed(plan.predicted.network_error, 4)), line("measured network error", (plan) => fixed(plan.verified?.fidelity.relative_error, 4)),
    line("promise", (plan) => (plan.promise?.confirmed ? `at most ${fixed(plan.promise.max_error, 3)} with ${Math.round(plan.promise.confidence * 100)} %` : plan.promise?.reason ?? "none")),
    line("latency", (plan) => duration(plan.verified?.latency_s ?? plan.predicted.latency_s)), line("layers replaced", (_, one) => `${one.replaced} of ${one.layers}`),
  ];
  const by = plans.map((plan) => new Map(plan.layers.map((layer) => [layer.name, layer])));
  const decided = data.layers.map((layer) => [layer.name, ...by.map((layers) => decided_of(layers.get(layer.name)))]);
  const differing = decided.filter(([, ...cells]) => new Set(cells).size > 1);
  const replaced = decided.filter(([, ...cells]) => cells.some((cell) => cell !== "original" && cell !== ""));
  const only = make("input", { type: "checkbox", id: "differing", checked: plans.length > 1, onchange: () => fill() });
  const place = make("div", {});
  const fill = () => {
    const rows = only.checked ? differing : replaced;
    place.replaceChildren(rows.length ? layersTable(head("layer"), rows) : make("p", { class: "soft" }, only.checked ? "These plans decide alike." : "Nothing is replaced."));
  };
  fill();
  return [make("section", { class: "card" }, make("h2", {}, plans.length > 1 ? "Side by side" : "One plan"), table("Figures of the plans", head("figure"), figures, { class: "list compare" })),
    make("section", { class: "card" }, make("div", { class: "bar" }, make("h2", {}, "Decisions"), plans.length > 1 ? make("label", { class: "check" }, only, differing.length === 1 ? "only the layer that differs" : `only the ${differing.length} layers that differ`) : null), place)];
}

const decided_of = (layer) => (layer ? `${decomposition(layer.decomposition)}${layer.speedup && layer.decomposition.kind !== "original" ? `, ${times(layer.speedup)}` : ""}` : "");

/** Cells that are not as in the first plan are marked, by a sign as well. */
function layersTable(head, rows) {
  const marked = rows.map(([name, first, ...others]) => [name, first, ...others.map((cell) => (cell === first ? cell : make("span", { class: "differs" }, `\u2260 ${cell}`)))]);
  return table("Decisions of the plans", head, marked, { class: "list compare" });
}
