// The front of speedup against network error; a slider walks along it and shows the plan at each point.

import { read } from "../parts/api.js";
import { go, note } from "../parts/address.js";
import { legend, pointChart } from "../parts/chart.js";
import { choice, facts, make, table } from "../parts/dom.js";
import { submit } from "../parts/jobs.js";
import { fileMissing, frontForm } from "../parts/searching.js";
import { decomposition, duration, fixed, interval, percent, times, when } from "../parts/texts.js";

const KEPT = ["backend", "threads", "batch", "calibration", "preprocess"]; // what a plan takes over from its front
const OPEN = 1.4;

export async function draw(body, { id, data, query }) {
  const fronts = (await read(`/fronts?network=${data.network.sha256}&limit=100`)).items;
  const title = fronts.length ? "Work out another front" : "Work out the front";
  const form = data.network.format === "store" ? fileMissing("pareto", data.network) : make("details", { class: "card", open: !fronts.length }, make("summary", {}, title), await frontForm(id));
  if (!fronts.length) {
    const lead = data.settings.length ? "How much faster can this network be for how much error? From what was measured, the best plan is found at each of several error limits."
      : "Measure the network first: the front is worked out from its table.";
    return body.replaceChildren(make("p", {}, lead), form);
  }
  const front = fronts.find((one) => one.key === query.get("front")) ?? fronts[0];
  const { element, bar } = pointView(id, data, front, query);
  const others = fronts.length > 1 ? choice("Front", fronts.map((one) => [one.key, `${one.asked.backend}, ${when(one.made_at)}`]), front.key, (value) => {
    note({ front: value, point: "" });
    query.set("front", value);
    query.delete("point");
    draw(body, { id, data, query });
  }, { class: "inline" }) : make("span", { class: "soft small" }, `${front.device.backend}, worked out ${when(front.made_at)}`);
  return body.replaceChildren(make("div", { class: "bar" }, others), bar, element, form);
}

function pointView(id, data, front, query) {
  const { points, layers, calibration } = front;
  const dtypes = [...new Set(points.map((point) => point.dtype))];
  const highest = OPEN * Math.max(...points.map((point) => point.speedup)); // where intervals end that are open above
  const drawn = points.map((point, at) => ({ x: point.network_error, y: point.speedup, low: point.speedup_low, high: Math.min(highest, point.speedup_high), hollow: !point.measured, at, dtype: point.dtype,
    text: `${times(point.speedup)} at network error ${fixed(point.network_error, 4)}${inDtype(point)}\n${point.replaced} of ${layers} layers replaced\n${point.measured ? "timed on the whole network" : "predicted from layers"}` }));
  const chart = pointChart({
    label: `Front of ${points.length} plans: speedup against network error. The slider below walks along it.`,
    series: dtypes.map((dtype) => ({ label: dtype, line: "straight", points: drawn.filter((point) => point.dtype === dtype) })), across: { y: 1, text: "the original", end: true },
    xTitle: `network error on ${calibration ? "the select split" : "noise"}`, yTitle: dtypes.length > 1 ? "speedup over float32" : "speedup", xText: (value) => (value < 0 ? "" : String(Number(value.toPrecision(3)))), yText: (value) => times(value),
    onchoose: (point) => show(point.at),
  });
  const asked = Number(query.get("point") ?? points.length - 1);
  const slider = make("input", { type: "range", id: "point", min: 0, max: points.length - 1, step: 1, value: asked, oninput: () => show(Number(slider.value)) });
  const plan = make("section", { class: "card", id: "at-point", "aria-label": "The plan at this point" });

  function show(at) {
    const point = points[at];
    slider.value = at;
    slider.setAttribute("aria-valuetext", `${times(point.speedup)}, network error ${fixed(point.network_error, 4)}${inDtype(point)}`);
    note({ point: at });
    chart.choose(drawn[at]);
    plan.replaceChildren(...planAt(id, data, front, at));
  }

  show(Math.min(Math.max(0, asked || 0), points.length - 1));
  const bar = make("section", { class: "card" }, chart.element, ...(dtypes.length > 1 ? [legend(dtypes)] : []),
    make("p", { class: "soft small" }, "Filled points were timed on the whole network, hollow ones follow from its layers. Bars are 95 % intervals. Drag to zoom, double click to zoom out."),
    make("label", { class: "slider" }, "Point on the front, from the original to the largest error ", slider));
  return { element: plan, bar };
}

/** The dtype of a point, if it is not the original's. */
const inDtype = ({ dtype }) => (dtype === "float32" ? "" : ` in ${dtype}`);

function planAt(id, data, front, at) {
  const { points, layers } = front;
  const [original, point] = [points[0], points[at]];
  const before = points.slice(0, at).findLast((one) => one.dtype === point.dtype)?.decisions ?? {};
  const make_plan = async () => {
    const kept = Object.fromEntries(KEPT.map((name) => [name, front.asked[name]]).filter(([, value]) => value != null));
    const made = await submit("/plans", { network: id, ...kept, dtype: point.dtype, max_error: point.max_error, refine: refine.checked });
    if (made) go(["jobs", made.id]);
  };
  const refine = make("input", { type: "checkbox", id: "refine", checked: true });
  const button = point.max_error == null || data.network.format === "store" ? null : make("div", { class: "bar" }, make("button", { type: "button", id: "make-plan", onclick: make_plan }, `Make the plan for network error up to ${point.max_error}${inDtype(point)}`),
    make("label", { class: "check" }, refine, "time whole networks, too"));
  const order = new Map(data.layers.map((layer, place) => [layer.name, place]));
  const rows = Object.entries(point.decisions).sort(([a], [b]) => (order.get(a) ?? 0) - (order.get(b) ?? 0)).map(([name, choice_]) => {
    const earlier = before[name] ? decomposition(before[name]) : "original";
    return [name, decomposition(choice_), earlier === decomposition(choice_) ? "as at the point before" : `here new (${earlier} at the point before)`];
  });
  return [make("h2", {}, at ? `Point ${at + 1} of ${points.length}${inDtype(point)}` : "The original"),
    facts([["Speedup", interval(point), point.measured ? "measured" : "predicted"], ["Latency", duration(point.latency_s)],
      ["Network error", fixed(point.network_error, 4), `below ${fixed(point.network_error_upper, 4)} in nine cases of ten`],
      ["Replaced", `${point.replaced} of ${layers}`], ["MACs", percent(point.macs / original.macs)], ["Parameters", percent(point.params / original.params)]]),
    button, rows.length ? table("Decisions at this point", [["layer"], ["becomes"], ["along the front"]], rows) : make("p", { class: "soft" }, "Nothing is replaced.")].filter(Boolean);
}
