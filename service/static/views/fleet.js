// The fleet: its devices by state, the queue, and one device with its history.

import { get } from "../parts/api.js";
import { link, note } from "../parts/address.js";
import { card, searched, STATES, stateText, stateTitle, whole } from "../parts/devices.js";
import { attempt, facts, keepingFocus, make, table } from "../parts/dom.js";
import * as jobs from "../parts/jobs.js";
import { when } from "../parts/texts.js";
import { took } from "./jobs.js";

const SHOWN = 48; // cards of one state, until all are asked for
const QUEUED = 10;
const HISTORY = 50;
const EVERY_MS = 3000;
const EACH_MS = 5; // more for each device: a list of a thousand is read every eight seconds

export async function show(page, { parts: [id], query }) {
  const { fleet } = await get("/session");
  if (!fleet) return without(page);
  return id ? showOne(page, id) : showAll(page, query);
}

function without(page) {
  page.append(make("h1", {}, "The fleet"), make("p", {}, "This service does all jobs on its own machine: start it with ", make("code", {}, "rankwise serve --cluster local"), ", or with the address of a Dask scheduler, to give them to a fleet."));
}

/** Draw at once, every few seconds, and whenever `again` is called, until `end` is. */
async function kept(draw) {
  let [timer, calls, left] = [0, 0, false];
  const next = (devices) => { timer = setTimeout(again, EVERY_MS + EACH_MS * (devices ?? 0)); };
  async function again() {
    clearTimeout(timer);
    const mine = ++calls; // an older answer is not shown after a newer one
    const devices = document.hidden ? 0 : await attempt(() => draw(() => !left && mine === calls));
    if (!left && mine === calls) next(devices);
  }
  next(await draw(() => true));
  return { again, end: () => { left = true; clearTimeout(timer); } };
}

async function showAll(page, query) {
  const chosen = { state: query.get("state") ?? "", find: query.get("find") ?? "" };
  const all = new Set(); // states of which every card is shown
  const [told, places, queue] = [make("div", { id: "fleet-told" }), make("div", { id: "fleet-devices" }), make("div", { id: "fleet-queue" })];
  let devices = [];
  const choose = (name) => (event) => { chosen[name] = event.target.value; note(chosen); fill(); };
  const states = make("select", { id: "fleet-state", onchange: choose("state") }, make("option", { value: "" }, "all states"), Object.keys(STATES).map((one) => make("option", { value: one, selected: one === chosen.state }, stateText(one))));
  const find = make("input", { id: "fleet-find", type: "search", value: chosen.find, placeholder: "host, label, backend, chip", oninput: choose("find") });
  page.append(make("h1", {}, "The fleet"), told, make("div", { class: "bar" }, make("label", { class: "inline" }, "Show ", states), make("label", { class: "inline" }, "Find ", find)), places, queue);

  const fill = keepingFocus(places, () => {
    const words = chosen.find.toLowerCase().split(/\s+/).filter(Boolean);
    const found = devices.filter((one) => (!chosen.state || one.state === chosen.state) && words.every((word) => one.text.includes(word)));
    const more = (state) => () => { all.add(state); fill(); };
    const parts = Object.keys(STATES).map((state) => section(state, found.filter((one) => one.state === state), all.has(state), more(state), () => live.again()));
    places.replaceChildren(...parts.filter(Boolean), ...(found.length ? [] : [make("p", { class: "soft" }, devices.length ? "No device fits." : "No worker has joined yet: start one with rankwise worker.")]));
  });

  async function update(newest) {
    const [fleet, waits, runs] = await Promise.all([get("/fleet"), get(`/jobs?state=queued&oldest_first=true&limit=${QUEUED}`), get("/jobs?state=running&limit=1")]);
    if (!newest()) return devices.length;
    devices = fleet.devices.map((one) => ({ ...one, text: searched(one) }));
    told.replaceChildren(counts(devices, runs.total, waits.total));
    fill();
    queue.replaceChildren(queuePart(waits));
    return devices.length;
  }

  const live = await kept(update);
  const deafen = jobs.listen(fill);
  return () => { deafen(); live.end(); };
}

function counts(devices, running, waiting) {
  const states = Object.keys(STATES).map((state) => [stateTitle(state), devices.filter((one) => one.state === state).length]);
  return facts([["Devices", devices.length], ...states.filter(([, count]) => count), ["Jobs that run", running], ["Jobs that wait", waiting]]);
}

function section(state, devices, whole_, more, after) {
  if (!devices.length) return null;
  const shown = whole_ ? devices : devices.slice(0, SHOWN);
  const rest = devices.length - shown.length;
  return make("section", { class: "state-of-fleet", "data-state": state, "aria-labelledby": `fleet-${state}` }, make("h2", { id: `fleet-${state}` }, `${stateTitle(state)} (${devices.length})`, make("small", { class: "soft" }, ` ${STATES[state]}`)),
    make("ul", { class: "cards" }, shown.map((one) => card(one, after))),
    rest ? make("p", {}, make("button", { type: "button", class: "quiet", "data-does": `more-${state}`, onclick: more }, `Show ${rest} more`)) : null);
}

function queuePart({ items, total }) {
  if (!total) return make("p", { class: "soft" }, "No job waits.");
  const row = (job) => [make("a", { href: link(["jobs", job.id]) }, jobs.title(job)), when(job.created_at)];
  const beyond = total - items.length;
  return make("section", { class: "card" }, make("h2", {}, `Waiting (${total}), the oldest first`), table("Jobs that wait", [["job"], ["asked for", "date"]], items.map(row)),
    beyond ? make("p", { class: "soft" }, `and ${beyond} more.`) : null);
}

async function showOne(page, id) {
  const [place, history] = [make("div", {}), make("div", { id: "device-history" })];
  const title = make("h1", {}, "The fleet");
  page.append(title, place, history, make("p", {}, make("a", { href: link(["fleet"]) }, "All devices")));
  const update = async (newest) => {
    const [fleet, done] = await Promise.all([get(`/fleet?device=${encodeURIComponent(`id=${id}`)}`), get(`/jobs?device=${id}&limit=${HISTORY}`)]);
    const [device] = fleet.devices;
    if (!device) throw new Error(`The fleet has no device ${id}.`);
    if (!newest()) return 0;
    title.textContent = `${device.host}: ${device.backend}`;
    keepingFocus(place, () => place.replaceChildren(whole(device, () => live.again())))();
    keepingFocus(history, () => history.replaceChildren(historyPart(done)))();
    return 0;
  };
  const live = await kept(update);
  const deafen = jobs.listen((some) => { if (some.some((job) => job.device === id)) live.again(); });
  return () => { deafen(); live.end(); };
}

function historyPart({ items, total }) {
  if (!total) return make("p", { class: "soft" }, "It has done nothing yet.");
  const row = (job) => [make("a", { href: link(["jobs", job.id]), "data-does": `job-${job.id}` }, jobs.title(job, true)), job.state, when(job.started_at), took(job), job.attempt, job.error];
  const columns = [["job"], ["state"], ["started", "date"], ["took", "figure"], ["attempts", "figure"], ["why"]];
  return make("section", { class: "card" }, make("h2", {}, total > items.length ? `Its last ${items.length} of ${total} jobs` : "Its jobs"), table("Jobs of this device", columns, items.map(row)));
}
