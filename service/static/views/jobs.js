// Jobs: all of them, or one with its log and the time that is left.

import { live } from "../parts/api.js";
import { link } from "../parts/address.js";
import { facts, keepingFocus, make } from "../parts/dom.js";
import * as jobs from "../parts/jobs.js";
import { left, percent, when } from "../parts/texts.js";

export async function show(page, { parts: [id] }) {
  return id ? showOne(page, id) : showAll(page);
}

function showAll(page) {
  const list = make("ul", { class: "jobs", id: "job-list" });
  const cards = new Map();
  const fill = () => {
    const all = jobs.jobs();
    list.replaceChildren(...all.map((job) => {
      const kept = cards.get(job.id);
      if (kept?.job === job) return kept.element;
      const element = make("li", { class: "card job", "data-kind": job.kind, "data-state": job.state }, brief(job));
      cards.set(job.id, { job, element });
      return element;
    }));
    if (!all.length) list.append(make("li", { class: "soft" }, "Nothing was asked for yet."));
  };
  fill();
  page.append(make("h1", {}, "Jobs"), make("p", { class: "soft" }, "One at a time on each machine, so that timings are not disturbed. They survive a restart."), list);
  return jobs.listen(keepingFocus(list, fill));
}

/** A job in short: what it is, how far, and what can be done with it. */
export function brief(job) {
  const head = make("header", {}, make("a", { href: link(["jobs", job.id]), "data-does": `open-${job.id}` }, jobs.title(job)),
    make("span", { class: "state" }, job.state), make("span", { class: "soft small" }, when(job.ended_at ?? job.started_at ?? job.created_at)), buttons(job));
  return [head, bar(job), ...last(job)].filter(Boolean);
}

function buttons(job) {
  const act = (verb, text) => make("button", { type: "button", class: "quiet", "aria-label": `${text} ${jobs.title(job)}`, "data-does": `${verb}-${job.id}`, onclick: () => jobs.act(job, verb) }, text);
  const made = result(job);
  const sofar = job.kind.endsWith("profile") && job.state === "running" ? make("a", { class: "button quiet", href: link(["networks", job.request.network, "table"]) }, "The table so far") : null;
  return make("span", { class: "links" }, sofar, made ? make("a", { class: "button quiet", href: made }, "See the result") : null,
    live(job) ? act("cancel", "Cancel") : ["failed", "cancelled"].includes(job.state) ? act("resume", "Resume") : null);
}

/** Where what the job has made can be seen. */
function result(job) {
  const { network, plan } = job.request;
  if (job.state !== "done") return "";
  if (job.kind.endsWith("profile")) return link(["networks", network]);
  if (job.kind === "front") return link(["networks", network, "front"], { front: job.id });
  if (job.kind === "plan" && job.result?.plan) return link(["plans", job.result.plan]);
  return plan ? link(["plans", plan]) : "";
}

function bar(job) {
  if (job.state !== "running") return null;
  const { done, total, text, left_s } = job.progress;
  const shown = make("progress", { "aria-label": jobs.title(job) });
  if (total) Object.assign(shown, { max: total, value: done });
  const told = total ? `${[percent(done / total), total > 1 && `${Math.round(done)} of ${Math.round(total)}`, left(left_s)].filter(Boolean).join(", ")}. ${text}` : text || "starting";
  return make("div", {}, shown, make("p", { class: "soft small number" }, told));
}

function last(job) {
  const text = job.error || job.result?.shortfall || job.result?.note || (live(job) ? job.progress.messages.at(-1) : "");
  return text ? [make("p", { class: "small" }, text)] : [];
}

async function showOne(page, id) {
  const { job, end } = await jobs.look(id);
  const place = make("div", {});
  const log = make("pre", { class: "log", tabindex: 0, "aria-label": "Log" });
  page.append(make("h1", {}, jobs.title(job)), place, make("h2", {}, "Log"), log, asked(job));
  const fill = (now) => {
    const followed = log.scrollTop + log.clientHeight >= log.scrollHeight - 8;
    place.replaceChildren(make("section", { class: "card job", "data-kind": now.kind, "data-state": now.state },
      make("header", {}, make("span", { class: "state" }, now.state), buttons(now)), bar(now), ...last(now),
      facts([["Asked for", when(now.created_at)], ["Started", when(now.started_at)], ["Ended", when(now.ended_at)], ["Took", took(now)], ["On", device(now)], ["Attempt", now.attempt > 1 ? now.attempt : ""]])));
    const lines = now.progress.log.map((line) => `${new Date(line.at).toLocaleTimeString()}  ${line.text}`);
    const text = [...lines, now.error].filter(Boolean).join("\n") || "It has said nothing yet.";
    if (log.textContent !== text) log.textContent = text;
    if (followed) log.scrollTop = log.scrollHeight;
  };
  fill(job);
  const redraw = (now) => keepingFocus(place, () => fill(now))();
  const deafen = jobs.listen((some) => some.filter((now) => now.id === id).forEach(redraw));
  return () => { deafen(); end(); };
}

/** The device of the fleet that has the job, or had it. */
const device = (job) => (job.device ? make("a", { href: link(["fleet", job.device]) }, job.device) : "");

export function took({ started_at, ended_at }) {
  if (!started_at || !ended_at) return "";
  const seconds = (new Date(ended_at) - new Date(started_at)) / 1000;
  return seconds < 90 ? `${seconds.toFixed(1)} s` : `${(seconds / 60).toFixed(1)} min`;
}

function asked(job) {
  const given = Object.entries(job.request).filter(([, value]) => value !== null && value !== false);
  return make("details", {}, make("summary", {}, "What was asked for"), facts(given.map(([name, value]) => [name, String(value)])));
}
