// Starts the page.

import { get, live, post, remove } from "./api.js";
import { $, attempt, values } from "./dom.js";
import * as jobs from "./jobs.js";
import * as results from "./results.js";
import * as artifacts from "./artifacts.js";
import { network, state } from "./state.js";

const TABLE_EVERY_MS = 10000;

async function start() {
  const session = await get("/session");
  $("logout").hidden = !session.needed || !session.admitted;
  if (!session.admitted) {
    $("login").hidden = false;
    $("login-form").elements.token.focus();
    return;
  }
  $("main").hidden = false;
  artifacts.listen();
  results.listen();
  jobs.whenEnded((job) => attempt(() => ended(job)));
  await artifacts.loadNetworks();
  await Promise.all([artifacts.loadDevices(), artifacts.loadCalibrations(), jobs.loadJobs()]);
  await redraw();
  state.listen((name) => { if (["network", "backend"].includes(name)) attempt(redraw); });
  setInterval(() => attempt(growTable), TABLE_EVERY_MS);
}

async function redraw() {
  await results.loadTable();
  await results.loadFront();
  await results.loadPlans();
}

async function ended(job) {
  if (job.kind === "devices") await artifacts.loadDevices();
  if (job.kind === "profile") await artifacts.loadNetworks();
  await results.refresh(job);
}

/** While a profile runs, the heat map fills up. */
async function growTable() {
  if (document.hidden || $("staircase").contains(document.activeElement)) return;
  const running = (await get("/jobs?kind=profile&state=running&limit=1")).items;
  if (!running.some(live)) return;
  if (!network()?.sha256) await artifacts.loadNetworks();
  await results.loadTable();
}

$("login-form").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(async () => { await post("/session", values(event.target)); location.reload(); });
});
$("logout").addEventListener("click", () => attempt(async () => { await remove("/session"); location.reload(); }));

attempt(start);
