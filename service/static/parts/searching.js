// Forms that ask for a search: on which device, with which pictures.

import { read } from "./api.js";
import { choose, chosen, pictures, policy } from "./choices.js";
import { choice, make, values } from "./dom.js";
import { go, link } from "./address.js";
import { submit } from "./jobs.js";

const PREPROCESS = ["imagenet", "caffe-bgr", "unit"];

/** Devices and calibrations as lists to choose from; what is chosen is kept. */
export async function settingFields() {
  const [{ devices }, { items }] = await Promise.all([read("/devices"), read("/calibrations?limit=1000")]);
  const usable = devices.filter((one) => one.available).map((one) => [one.backend, one.backend]);
  const backend = usable.some(([name]) => name === chosen("backend")) ? chosen("backend") : (usable.find(([name]) => name !== "fake") ?? usable[0] ?? [""])[0];
  choose({ backend });
  const known = items.map((one) => [one.id, `${one.name} (${one.count} ${one.kind === "pictures" ? "pictures" : "examples"})`]);
  const fields = [
    choice("Device", usable, backend, (value) => choose({ backend: value }), { name: "backend" }),
    choice("Calibration pictures", [["", "none: errors on noise"], ...known], chosen("calibration"), (value) => choose({ calibration: value }), { name: "calibration" }),
    choice("Preprocessing", PREPROCESS.map((one) => [one, one]), chosen("preprocess") || "imagenet", (value) => choose({ preprocess: value }), { name: "preprocess" }),
  ];
  return { fields, asked: () => ({ backend: chosen("backend"), ...policy(), ...pictures(items) }) };
}

/** In place of a form, where a network was measured on the command line and its file is not here. */
export const fileMissing = (verb, network) => make("p", { class: "card soft" }, "This network was measured on the command line; its file is not here. ",
  make("a", { href: link(["measure"]) }, "Upload it"), ` to search on this page, or type rankwise ${verb} ${network.name} with the same --db.`);

/** The form that works out a front. */
export async function frontForm(network) {
  const { fields, asked } = await settingFields();
  const send = async (event) => {
    event.preventDefault();
    const job = await submit("/fronts", { network, ...asked() });
    if (job) go(["jobs", job.id]);
  };
  return make("form", { id: "front-form", class: "row", onsubmit: send }, fields, make("button", { type: "submit" }, "Work out the front"));
}

/** The form that searches for one plan. */
export async function planForm(network) {
  const { fields, asked } = await settingFields();
  const send = async (event) => {
    event.preventDefault();
    const { max_error, target_speedup, refine } = values(event.target);
    const job = await submit("/plans", { network, ...asked(), ...(max_error ? { max_error } : {}), ...(target_speedup ? { target_speedup } : {}), refine });
    if (job) go(["jobs", job.id]);
  };
  const limit = (label, name, placeholder) => make("label", {}, label, " ", make("input", { name, type: "number", min: "0.0001", step: "any", placeholder }));
  return make("form", { id: "plan-form", class: "row", onsubmit: send }, limit("Network error at most", "max_error", "0.1"), limit("or speedup at least", "target_speedup", ""), fields,
    make("label", { class: "check" }, make("input", { type: "checkbox", name: "refine", checked: true }), "time whole networks, too"),
    make("button", { type: "submit" }, "Make the plan"));
}
