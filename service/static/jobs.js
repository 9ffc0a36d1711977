// Jobs: a card for each, kept up to date by server-sent events.

import { get, live, post, watch } from "./api.js";
import { $, attempt, make, say } from "./dom.js";
import { known } from "./state.js";

const SHOWN = 12;
const cards = new Map();
const watched = new Set();
const enders = [];

/** Told of every job that ends. */
export const whenEnded = (listener) => enders.push(listener);

/** Ask for a job and show it in `place`, too. */
export async function submit(path, body, place) {
  const job = await attempt(() => post(path, body));
  if (!job) return;
  say(`${title(job)}: ${job.state}`);
  follow(job, place);
}

export async function loadJobs() {
  const page = await get(`/jobs?limit=${SHOWN}`);
  for (const job of page.items.reverse()) {
    draw(job);
    if (live(job)) follow(job);
  }
}

export function follow(job, place) {
  draw(job, place);
  if (!live(job) || watched.has(job.id)) return;
  watched.add(job.id);
  watch(job.id, (now) => {
    draw(now, place);
    if (live(now)) return;
    watched.delete(now.id);
    say(now.state === "failed" ? now.error : `${title(now)}: ${now.state}`);
    for (const listener of enders) listener(now);
  });
}

export function title(job) {
  const asked = job.request;
  const name = known.networks.find((one) => one.id === asked.network)?.name ?? asked.network;
  const limit = asked.max_error ? `error up to ${asked.max_error}` : "";
  const what = [name, asked.backend, limit, asked.plan ? `plan ${asked.plan.slice(0, 8)}` : ""];
  return [job.kind, what.filter(Boolean).join(", ")].filter(Boolean).join(": ");
}

function draw(job, place) {
  const card = filled(job);
  const old = cards.get(job.id);
  if (old) old.replaceWith(card);
  else $("job-list").prepend(card);
  cards.set(job.id, card);
  while ($("job-list").children.length > SHOWN) $("job-list").lastElementChild.remove();
  if (place) place.replaceChildren(live(job) || job.state === "failed" ? filled(job, "div") : "");
}

function filled(job, element = "li") {
  const { done, total, text, messages } = job.progress;
  const head = make("header", {}, make("span", {}, title(job)), make("span", { class: "state" }, job.state));
  if (live(job)) head.append(button(job, "cancel", "Cancel"));
  else if (job.state !== "done") head.append(button(job, "resume", "Resume"));
  const card = make(element, { class: "job", "data-state": job.state, "data-kind": job.kind }, head);
  if (job.state === "running") {
    const bar = make("progress", { "aria-label": title(job) });
    if (total) Object.assign(bar, { max: total, value: done });
    card.append(bar, make("p", {}, total ? `${Math.round(done)} of ${Math.round(total)}: ${text}` : text || "starting"));
  }
  const last = job.error || job.result?.shortfall || job.result?.note || (live(job) ? messages.at(-1) : "");
  if (last) card.append(make("p", {}, last));
  return card;
}

function button(job, verb, label) {
  const ask = () => attempt(async () => follow(await post(`/jobs/${job.id}/${verb}`)));
  const told = `${label} ${title(job)}`;
  return make("button", { type: "button", class: "quiet", onclick: ask, "aria-label": told }, label);
}
