// Jobs: the newest and those that run, known to the whole page. Some are followed by server-sent events, all are
// asked about every few seconds.

import { forget, get, live, post, watch } from "./api.js";
import { attempt, say } from "./dom.js";

const SHOWN = 100;
const EVERY_MS = 8000;
const FOLLOWED = 4; // a browser has six connections to one place, and needs some for other things
const known = new Map(); // by id
const followed = new Map(); // what ends it, by id
const listeners = new Set();
let names = new Map(); // of networks, by id
let beyond = 0; // how many wait that the page does not know
let open = ""; // the job whose view is open

export const jobs = () => [...known.values()].sort((a, b) => b.created_at.localeCompare(a.created_at));
export const running = () => jobs().filter((job) => job.state === "running");
export const nameNetworks = (found) => { names = found; };

/** How many jobs wait or run. */
export const liveCount = () => beyond + jobs().filter(live).length;

/** Told of jobs that have changed, as a list; gives the function that ends it. */
export function listen(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export async function start() {
  await load();
  setInterval(() => { if (!document.hidden) load().catch(() => {}); }, EVERY_MS);
}

async function load() {
  const [newest, runs, waits] = await Promise.all([get(`/jobs?limit=${SHOWN}`), get(`/jobs?state=running&limit=${SHOWN}`), get("/jobs?state=queued&limit=1")]);
  const found = new Map([...newest.items, ...runs.items].map((job) => [job.id, job]));
  beyond = Math.max(waits.total - newest.items.filter((job) => job.state === "queued").length, 0);
  for (const id of known.keys()) if (!found.has(id) && !followed.has(id)) known.delete(id);
  changed(...[...found.values()].filter((job) => !followed.has(job.id)));
}

function changed(...now) {
  const differing = now.filter(differs);
  if (!differing.length) return;
  for (const job of differing) {
    const before = known.get(job.id);
    known.set(job.id, job);
    if (before && live(before) && !live(job)) ended(job);
  }
  follow();
  for (const listener of listeners) listener(differing);
}

function differs(job) {
  const before = known.get(job.id);
  if (before?.progress.log.length && !job.progress.log.length) job.progress.log = before.progress.log; // lists have no logs
  return !before || JSON.stringify(before) !== JSON.stringify(job);
}

/** Follow the job that is looked at, those that run, and those that wait, in this order. */
function follow() {
  const order = (job) => (job.id === open ? 0 : job.state === "running" ? 1 : 2);
  const wanted = jobs().filter(live).sort((a, b) => order(a) - order(b)).slice(0, FOLLOWED).map((job) => job.id);
  for (const [id, end] of followed) if (!wanted.includes(id)) { end(); followed.delete(id); }
  for (const id of wanted) if (!followed.has(id)) followed.set(id, watch(id, (now) => changed(now)));
}

/** The job with its log, which is followed until the function that comes back is called. */
export async function look(id) {
  open = id;
  changed(await get(`/jobs/${id}`));
  follow();
  return { job: known.get(id), end: () => { if (open === id) open = ""; } };
}

function ended(job) {
  forget();
  if (followed.has(job.id)) say(job.state === "failed" ? job.error : `${title(job)}: ${job.state}`);
}

/** Ask for a job; gives it, or nothing where it was refused. */
export async function submit(path, body) {
  const job = await attempt(() => post(path, body));
  if (!job) return undefined;
  say(`${title(job)}: ${job.state}`);
  changed(job);
  return job;
}

export async function act(job, verb) {
  const now = await attempt(() => post(`/jobs/${job.id}/${verb}`));
  if (now) changed(now);
}

/** What a job is; where it is shown at its device, that is not said again. */
export function title(job, atDevice = false) {
  const asked = job.request;
  const limit = asked.max_error ? `error up to ${asked.max_error}` : "";
  const what = [names.get(asked.network) ?? asked.network?.slice(0, 12), atDevice ? "" : asked.device, asked.backend, limit, asked.plan ? `plan ${asked.plan.slice(0, 8)}` : ""];
  return [job.kind, what.filter(Boolean).join(", ")].filter(Boolean).join(": ");
}
