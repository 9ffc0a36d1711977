// Jobs: known to the whole page, kept up to date by server-sent events.

import { forget, get, live, post, watch } from "./api.js";
import { attempt, say } from "./dom.js";

const SHOWN = 100;
const EVERY_MS = 8000; // for jobs that were asked for elsewhere
const known = new Map(); // by id, the newest first
const watched = new Set();
const listeners = new Set();
let names = new Map(); // of networks, by id

export const jobs = () => [...known.values()].sort((a, b) => b.created_at.localeCompare(a.created_at));
export const nameNetworks = (found) => { names = found; };

/** Told of every job that changes; gives the function that ends it. */
export function listen(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export async function start() {
  await load();
  setInterval(() => { if (!document.hidden) load().catch(() => {}); }, EVERY_MS);
}

async function load() {
  const page = await get(`/jobs?limit=${SHOWN}`);
  for (const job of page.items.reverse()) if (!watched.has(job.id)) changed(job);
}

function changed(job) {
  const before = known.get(job.id);
  if (before && JSON.stringify(before) === JSON.stringify(job)) return;
  known.set(job.id, job);
  if (live(job)) follow(job.id);
  else if (before) ended(job);
  for (const listener of listeners) listener(job);
}

function follow(id) {
  if (watched.has(id)) return;
  watched.add(id);
  watch(id, (now) => {
    if (!live(now)) watched.delete(id);
    changed(now);
  });
}

function ended(job) {
  forget();
  say(job.state === "failed" ? job.error : `${title(job)}: ${job.state}`);
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

export function title(job) {
  const asked = job.request;
  const limit = asked.max_error ? `error up to ${asked.max_error}` : "";
  const what = [names.get(asked.network) ?? asked.network?.slice(0, 12), asked.backend, limit, asked.plan ? `plan ${asked.plan.slice(0, 8)}` : ""];
  return [job.kind, what.filter(Boolean).join(", ")].filter(Boolean).join(": ");
}
