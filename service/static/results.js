// Table, front, plans: pictures from the service, and what can be done with them.

import { get, text } from "./api.js";
import { $, attempt, make, options, show, values } from "./dom.js";
import { submit } from "./jobs.js";
import { searching } from "./artifacts.js";
import { known, network, state } from "./state.js";

const setting = () => ({ network: state.get("network"), backend: state.get("backend") });

/** Threads and batch are part of the policy, so later steps take the profile's. */
function policy() {
  const { threads, batch } = values($("profile-form"));
  return { threads, ...(batch ? { batch } : {}) };
}

const query = (more = {}) => new URLSearchParams({ network: state.get("network"), ...more });

const asked = new Map(); // by element, the request that was made last

/** Draw a picture, unless it was asked for again meanwhile: answers may overtake each other. */
async function draw(element, path) {
  const request = Symbol(path);
  asked.set(element, request);
  const markup = await text(path);
  if (asked.get(element) === request) show(element, markup);
}

/** Show that there is no picture, whatever was asked for before. */
function drawNothing(element, ...said) {
  asked.delete(element);
  element.replaceChildren(...said);
}

let chosen = ""; // the layer whose latency over rank the user asked for

export async function loadTable() {
  const device = state.get("backend");
  await draw($("heat-map"), `/pictures/heat-map?${query(device ? { device } : {})}`);
  const lines = [...$("heat-map").querySelectorAll("tbody tr")];
  const cells = (line) => line.querySelectorAll(".cell").length;
  const first = lines.reduce((a, b) => (a && cells(a) >= cells(b) ? a : b), null)?.querySelector("button.layer");
  const there = lines.some((line) => line.querySelector("button.layer")?.dataset.spec === chosen);
  if (first) await stairs(there ? chosen : first.dataset.spec);
  else drawNothing($("staircase"));
  if (!network()?.sha256) return;
  const link = (format) => make("a", { class: "button quiet", download: `table.${format}`,
    href: `/api/v1/tables?network=${network().sha256}&format=${format}&limit=10000` }, format.toUpperCase());
  $("table-downloads").replaceChildren(...(first ? ["Download: ", link("json"), link("csv"), link("parquet")] : []));
}

async function stairs(spec) {
  const device = state.get("backend");
  await draw($("staircase"), `/pictures/staircase?${query({ spec, ...(device ? { device } : {}) })}`);
}

export async function loadFront() {
  const place = $("front-picture");
  const done = (await get("/jobs?kind=front&state=done&limit=100")).items;
  const job = done.find((one) => one.request.network === state.get("network") && one.request.backend === state.get("backend"));
  if (job) await draw(place, `/pictures/front?job=${job.id}`);
  else drawNothing(place, make("p", { class: "empty" }, "Not worked out yet for this network and device."));
}

function planAt(limits) {
  return submit("/plans", { ...setting(), ...policy(), ...searching(), ...limits, refine: $("refine").checked }, $("plan-job"));
}

export async function loadPlans() {
  const sha256 = network()?.sha256;
  known.plans = sha256 ? (await get(`/plans?network=${sha256}&limit=100`)).items : [];
  options($("plan"), known.plans.map((one) => [one.key, describe(one)]), state.get("plan"));
  state.set("plan", $("plan").value);
  await loadPlan();
}

function describe(plan) {
  const limit = plan.objective.max_error ? `error up to ${plan.objective.max_error}` : `speedup from ${plan.objective.target_speedup}`;
  const speedup = plan.predicted.speedup ? `, predicted ${plan.predicted.speedup.toFixed(2)}` : "";
  const measured = plan.verified ? `, measured ${plan.verified.speedup.toFixed(2)}` : "";
  return `${plan.backend}: ${limit}${speedup}${measured}${errorOf(plan)} (${plan.replaced} of ${plan.layers} replaced)`;
}

function errorOf(plan) {
  const error = plan.verified?.fidelity.relative_error ?? plan.predicted.network_error;
  const parts = Object.entries((plan.verified ?? plan.predicted).errors?.parts ?? {});
  const [name, worst] = parts.reduce((one, other) => ((other[1] ?? Infinity) > (one[1] ?? Infinity) ? other : one), ["", 0]);
  const named = parts.length > 1 ? ` (worst: ${name} ${(worst ?? Infinity).toFixed(4)})` : "";
  return error == null ? "" : `, error ${error.toFixed(4)}${named}`;
}

async function loadPlan() {
  const key = state.get("plan");
  const chosen = known.plans.some((one) => one.key === key);
  if (!chosen) {
    for (const id of ["plan-actions", "agreement"]) $(id).replaceChildren();
    $("plan-picture").replaceChildren(make("p", { class: "empty" }, "No plan for this network yet."));
    return;
  }
  await draw($("agreement"), `/pictures/agreement?key=${key}`);
  await draw($("plan-picture"), `/pictures/plan?key=${key}`);
  await drawActions(key);
}

async function drawActions(key) {
  const ask = (label, path, body) => make("button", { type: "button", class: "quiet",
    onclick: () => submit(path, body, $("plan-job")) }, label);
  const link = (label, href, name) => make("a", { class: "button quiet", href, ...(name ? { download: name } : { target: "_blank", rel: "noopener" }) }, label);
  const made = (await get(`/applied?plan=${key}`)).items;
  $("plan-actions").replaceChildren(
    link("Download plan", `/api/v1/plans/${key}?download=true`, "plan.json"),
    link("Open report", `/api/v1/plans/${key}/report`),
    link("Download report", `/api/v1/plans/${key}/report?download=true`, "report.html"),
    ask("Write compressed network", "/applied", { plan: key }),
    ask("Verify", "/verifications", { plan: key }),
    ...made.map((one) => link(`Download compressed .${one.format} (${(one.bytes / 2 ** 20).toFixed(1)} MiB)`,
      `/api/v1/applied/${one.id}/file`, `compressed.${one.format}`)),
  );
}

export function listen() {
  $("profile-form").addEventListener("submit", (event) => {
    event.preventDefault();
    submit("/profiles", { ...setting(), ...values(event.target) }, $("profile-job"));
  });
  $("heat-map").addEventListener("click", (event) => {
    const button = event.target.closest("button[data-spec]");
    if (!button) return;
    chosen = button.dataset.spec;
    attempt(() => stairs(chosen)).then(() => $("staircase").scrollIntoView({ block: "nearest" }));
  });
  $("front-form").addEventListener("submit", (event) => {
    event.preventDefault();
    submit("/fronts", { ...setting(), ...policy(), ...searching() }, $("front-job"));
  });
  const choose = (event) => {
    const point = event.target.closest("[data-max-error]");
    if (!point || (event.type === "keydown" && !["Enter", " "].includes(event.key))) return;
    if (event.type === "keydown" && point.tagName === "BUTTON") return; // it clicks by itself
    event.preventDefault();
    planAt({ max_error: Number(point.dataset.maxError) });
  };
  $("front-picture").addEventListener("click", choose);
  $("front-picture").addEventListener("keydown", choose);
  $("plan-form").addEventListener("submit", (event) => {
    event.preventDefault();
    planAt(values(event.target));
  });
  $("plan").addEventListener("change", () => { state.set("plan", $("plan").value); attempt(loadPlan); });
}

/** Show what a job that has ended has made. */
export async function refresh(job) {
  if (job.kind === "plan" && job.result?.plan) state.set("plan", job.result.plan);
  if (["plan", "verify", "apply"].includes(job.kind)) await loadPlans();
  if (job.kind === "profile") await loadTable();
  if (job.kind === "front") await loadFront();
}
