// What is here, what came out last, and what to do next.

import { live, read } from "../parts/api.js";
import { link } from "../parts/address.js";
import { attempt, make, table } from "../parts/dom.js";
import * as jobs from "../parts/jobs.js";
import { fixed, interval, objective, when } from "../parts/texts.js";
import { brief } from "./jobs.js";

const LATEST = 8;

export async function show(page) {
  let fill = await drawn(page);
  return jobs.listen(async (some) => {
    if (some.every(live)) fill();
    else await attempt(async () => { fill = await drawn(page); }); // what it has made belongs here
  });
}

/** Put everything in; gives what fills the parts anew that change with jobs. */
async function drawn(page) {
  const [{ devices }, { items: networks }, { items: plans }, { items: [front] }] = await Promise.all([read("/devices"), read("/networks?limit=1000"), read(`/plans?limit=${LATEST}`), read("/fronts?limit=1")]);
  const running = make("div", {});
  const next = make("div", {});
  const fill = () => {
    const now = [...jobs.running(), ...jobs.jobs().filter((job) => job.state === "queued")];
    running.replaceChildren(...(now.length ? [make("section", { class: "card job" }, make("h2", {}, "Now"), now.slice(0, 3).map((job) => make("div", {}, brief(job))))] : []));
    next.replaceChildren(nextStep({ devices, networks, plans, front, all: jobs.jobs() }));
  };
  fill();
  const title = page.querySelector("h1") ?? make("h1", {}, "Which layers does low-rank decomposition really make faster here?");
  page.replaceChildren(...[title, next, running, latest(plans, networks), networksPart(networks), devicesPart(devices)].filter(Boolean));
  return fill;
}

/** One sentence on what is missing, and the link that leads there. */
function nextStep({ devices, networks, plans, front, all }) {
  const measured = networks.filter((one) => one.measured);
  const card = (title, text, href, button) => make("section", { class: "card next" }, make("h2", {}, title), make("p", {}, text), href ? make("p", {}, make("a", { class: "button", href }, button)) : null);
  const usable = devices.filter((one) => one.available && one.backend !== "fake");
  if (!devices.length) return card("Starting", "The devices of this machine are being tried; this takes a few seconds.");
  if (!measured.length && all.some((job) => job.kind === "profile" && live(job))) return card("The first network is being measured", "Its table fills while you wait; when it is done, work out the front.");
  if (!measured.length) return card("Begin with a network", `Choose a network or upload an ONNX file, and measure it on ${usable.length ? usable.map((one) => one.backend).join(" or ") : "a device"}. A small one takes a few minutes.`, link(["measure"]), "Measure a network");
  const [first] = measured;
  if (!front && !plans.length) return card("Next: how fast for how much error?", `${first.name} is measured. Its front says what can be gained at each error limit.`, link(["networks", first.id, "front"]), "Work out the front");
  if (!plans.length) return card("Next: choose a plan", "A front is worked out. Walk along it and make the plan of the point that suits you.", link(["networks", networks.find((one) => one.sha256 === front.model.sha256)?.id ?? front.model.sha256, "front"]), "Open the front");
  const open = plans.find((one) => !one.verified);
  if (open) return card("Next: verify", `Plan ${open.key.slice(0, 8)} was not measured as a whole network yet.`, link(["plans", open.key]), "Open the plan");
  return card("All plans are verified", "Measure another network or device, or ask for the same network within another limit.", link(["measure"]), "Measure a network");
}

function latest(plans, networks) {
  if (!plans.length) return null;
  const name = (sha256) => networks.find((one) => one.sha256 === sha256)?.name ?? sha256.slice(0, 12);
  const columns = [["plan"], ["network"], ["predicted", "figure"], ["measured", "figure"], ["network error", "figure"], ["limit"], ["device"], ["made", "date"]];
  const rows = plans.map((one) => [make("a", { href: link(["plans", one.key]) }, one.key.slice(0, 8)), name(one.network), interval(one.predicted), one.verified ? interval(one.verified) : "not yet",
    fixed(one.verified?.fidelity.relative_error ?? one.predicted.network_error, 4), objective(one.objective), one.backend, when(one.created_at)]);
  return make("section", { class: "card" }, make("h2", {}, "Latest plans"), table("Latest plans", columns, rows));
}

function networksPart(networks) {
  const row = (one) => [make("a", { href: link(["networks", one.id]) }, one.name), one.format === "store" ? "on the command line" : one.format, one.layers ?? "", one.measured
    ? make("span", { class: "links" }, make("a", { href: link(["networks", one.id, "table"]) }, "table"), make("a", { href: link(["networks", one.id, "front"]) }, "front"), make("a", { href: link(["networks", one.id, "plans"]) }, "plans"))
    : make("a", { href: link(["measure"], { network: one.id }) }, "measure it")];
  const columns = [["network"], ["format"], ["layers", "figure"], ["open"]];
  const [measured, others] = [networks.filter((one) => one.measured), networks.filter((one) => !one.measured)];
  return make("section", { class: "card" }, make("h2", {}, "Networks"), measured.length ? table("Networks that were measured", columns, measured.map(row)) : null,
    others.length ? make("details", { open: !measured.length }, make("summary", {}, `${others.length} not measured yet`), table("Networks that were not measured", columns, others.map(row))) : null);
}

function devicesPart(devices) {
  const cards = (some) => make("div", { class: "cards" }, some.map((one) => deviceCard(one)));
  const [here, absent] = [devices.filter((one) => one.available), devices.filter((one) => !one.available)];
  return make("section", { class: "card" }, make("h2", {}, "Devices"), devices.length ? cards(here) : make("p", { class: "soft" }, "The devices of this machine are being tried ..."),
    absent.length ? make("details", {}, make("summary", {}, `${absent.length} that cannot be used here, and why`), cards(absent)) : null);
}

/** A device with PASS, or the reason why not. */
export function deviceCard(device, input) {
  const hardware = device.fingerprint?.hardware ?? {};
  const software = Object.entries(device.fingerprint?.software ?? {}).map((pair) => pair.join(" "));
  const known = [hardware.chip, hardware.cores && `${hardware.cores} cores`, hardware.memory_gib && `${hardware.memory_gib} GiB`, ...software];
  return make(input ? "label" : "div", { class: `card${device.available ? "" : " off"}` }, input, input ? " " : null, make("b", {}, device.backend),
    make("div", { class: device.available ? "pass" : "absent" }, device.reason), make("small", {}, known.filter(Boolean).join(", ")));
}
