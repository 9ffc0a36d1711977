// Devices of the fleet: what is said of each, wherever it is shown.

import { post } from "./api.js";
import { link } from "./address.js";
import { attempt, facts, make, say } from "./dom.js";
import * as jobs from "./jobs.js";
import { percent, when } from "./texts.js";

/** States in the order in which they are shown, with what they mean. */
export const STATES = {
  busy: "a job runs there",
  quarantined: "three jobs in a row hung there, so it gets no more until somebody lets it",
  other_versions: "its rankwise or Dask is not the service's, so it gets no jobs",
  lost: "the service has not seen its worker for half a minute; its jobs wait or go to others",
  idle: "ready",
};
const SIGNS = { busy: "\u25b6", quarantined: "\u26a0", other_versions: "\u2260", lost: "\u2717", idle: "\u25cb" };

export const stateText = (state) => state.replace("_", " ");
export const stateTitle = (state) => state[0].toUpperCase() + stateText(state).slice(1);

const chip = ({ hardware }) => [hardware.chip, hardware.cores && `${hardware.cores} cores`, hardware.memory_gib && `${hardware.memory_gib} GiB`].filter(Boolean).join(", ");

/** All that can be searched for in a device, as one text. */
export const searched = (device) => [device.id, device.host, device.backend, ...device.labels, chip(device.fingerprint), device.fingerprint.hardware_key].join(" ").toLowerCase();

function ago(seconds) {
  if (seconds < 60) return "now";
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  return seconds < 172800 ? `${Math.round(seconds / 3600)} h ago` : `${Math.round(seconds / 86400)} days ago`;
}

/** The state with its sign, and why it is so. */
export function state(device) {
  const reason = device.reason || (device.state === "lost" ? `last seen ${ago(device.seen_s_ago)}` : "");
  return make("p", {}, make("b", { class: `device-state ${device.state}` }, `${SIGNS[device.state]} ${stateText(device.state)}`), reason ? `: ${reason}` : "");
}

/** The job that runs on a device, with how far it is where the page knows it. */
function work(device) {
  if (!device.job) return null;
  const job = jobs.running().find((one) => one.id === device.job);
  const { done, total } = job?.progress ?? {};
  return make("p", {}, make("a", { href: link(["jobs", device.job]), "data-does": `job-${device.job}` }, job ? jobs.title(job, true) : `job ${device.job.slice(0, 8)}`),
    total ? make("span", { class: "soft small number" }, ` ${percent(done / total)}`) : null);
}

/** A button that lets a device out of quarantine; `after` is called once it is. */
export function release(device, after) {
  if (device.state !== "quarantined") return null;
  const let_out = () => attempt(async () => {
    await post(`/fleet/${device.id}/release`);
    say(`${device.backend} on ${device.host} may work again`);
    await after();
  });
  return make("p", {}, make("button", { type: "button", class: "quiet", "aria-label": `Release ${device.backend} on ${device.host} from quarantine`, "data-does": `release-${device.id}`, onclick: let_out }, "Release"));
}

/** A device in a list. */
export function card(device, after) {
  const labels = device.labels.length ? make("span", { class: "soft" }, ` ${device.labels.join(" ")}`) : null;
  return make("li", { class: "card device", "data-state": device.state, "data-device": device.id },
    make("a", { href: link(["fleet", device.id]), "data-does": `open-${device.id}` }, make("b", {}, device.host)), labels,
    make("div", { class: "small" }, device.backend), make("div", { class: "soft small" }, chip(device.fingerprint)),
    state(device), work(device), release(device, after));
}

/** A device alone. */
export function whole(device, after) {
  const versions = Object.entries(device.versions).map((pair) => pair.join(" ")).join(", ");
  const software = Object.entries(device.fingerprint.software ?? {}).map((pair) => pair.join(" ")).join(", ");
  return make("section", { class: "card device", "data-state": device.state, "data-device": device.id }, state(device), work(device), release(device, after),
    facts([["Host", device.host], ["Backend", device.backend], ["Device", chip(device.fingerprint)], ["Labels", device.labels.join(" ")], ["Last seen", when(device.seen_at)],
      ["Worker", versions], ["Software", software], ["Hardware key", device.fingerprint.hardware_key.slice(0, 12)]]));
}
