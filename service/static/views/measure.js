// Measure a network: which device, which network, and how.

import { forget, read, upload } from "../parts/api.js";
import { go, note } from "../parts/address.js";
import { choose, chosen } from "../parts/choices.js";
import { attempt, choice, make, options, say, values } from "../parts/dom.js";
import { listen, submit } from "../parts/jobs.js";
import { mebibytes } from "../parts/texts.js";
import { deviceCard } from "./overview.js";

export async function show(page, { query }) {
  page.append(make("h1", {}, "Measure a network"),
    make("p", { class: "soft" }, "Every distinct layer is timed, the original against its decompositions. What is there already is not measured again."));
  const state = { network: query.get("network") ?? "" };
  const devices = make("div", {}, await devicePart());
  page.append(devices, await networkPart(state), await calibrationPart(), startPart(state));
  return listen((some) => { if (some.some((job) => job.kind === "devices" && job.state === "done")) attempt(async () => devices.replaceChildren(await devicePart())); });
}

async function devicePart() {
  const { devices } = await read("/devices");
  const list = make("fieldset", { id: "device-list", class: "cards" }, make("legend", { class: "hidden" }, "Device"));
  const usable = devices.filter((one) => one.available);
  const wanted = usable.find((one) => one.backend === chosen("backend")) ?? usable.find((one) => one.backend !== "fake") ?? usable[0];
  choose({ backend: wanted?.backend ?? "" });
  for (const one of usable) {
    const input = make("input", { type: "radio", name: "backend", value: one.backend, checked: one === wanted, onchange: () => choose({ backend: one.backend }) });
    list.append(deviceCard(one, input));
  }
  if (!devices.length) list.append(make("p", { class: "soft" }, "The devices of this machine are being tried; look again in a moment."));
  const again = make("button", { type: "button", class: "quiet", onclick: async () => { const job = await submit("/devices", {}); if (job) go(["jobs", job.id]); } }, "Try them again");
  const absent = devices.length - usable.length;
  return make("section", { class: "card" }, make("h2", {}, "Device"), list,
    make("p", { class: "soft small" }, absent ? `${absent} others cannot be used here; the overview says why. ` : "", again));
}

async function networkPart(state) {
  const select = make("select", { id: "network", onchange: () => tell() });
  const told = make("p", { class: "soft small", id: "network-facts" });
  let networks = [];
  async function load(wanted) {
    networks = (await read("/networks?limit=1000")).items.filter((one) => one.format !== "store"); // of those there is no file
    options(select, networks.map((one) => [one.id, `${one.name} (${one.format})`]), wanted);
    tell();
  }
  function tell() {
    const one = networks.find(({ id }) => id === select.value);
    state.network = select.value;
    note({ network: select.value });
    const known = [one?.input_shape && `input ${one.input_shape.join("\u00d7")}`, one?.layers && `${one.layers} layers`, one?.bytes && mebibytes(one.bytes), one?.measured && "measured before"];
    told.textContent = known.filter(Boolean).join(", ");
  }
  await load(state.network);
  const zoo = networks.filter((one) => one.format === "zoo").map((one) => [one.id, one.name]);
  const form = make("form", { id: "upload-network", class: "row", onsubmit: (event) => { event.preventDefault(); sendNetwork(event.target, load); } },
    make("label", {}, "File (.onnx, or .safetensors for a zoo architecture) ", make("input", { type: "file", name: "file", accept: ".onnx,.safetensors", required: true })),
    choice("Architecture of the weights", [["", "(.onnx has its own)"], ...zoo], "", () => {}, { name: "architecture" }),
    make("label", {}, "Input shape, if the file leaves it open ", make("input", { name: "shape", placeholder: "1,3,224,224", pattern: "[0-9]+(,[0-9]+){1,5}" })),
    make("button", { type: "submit" }, "Upload"));
  return make("section", { class: "card" }, make("h2", {}, "Network"), make("label", {}, "Network ", select), told,
    make("details", { id: "upload-network-part" }, make("summary", {}, "Upload a network"), form));
}

async function calibrationPart() {
  const select = make("select", { id: "calibration", onchange: () => choose({ calibration: select.value }) });
  async function load(wanted) {
    const { items } = await read("/calibrations?limit=1000");
    options(select, [["", "none: errors on noise"], ...items.map((one) => [one.id, `${one.name} (${one.count} ${one.kind === "pictures" ? "pictures" : "examples"})`])], wanted);
    choose({ calibration: select.value });
  }
  await load(chosen("calibration"));
  const form = make("form", { id: "upload-calibration", class: "row", onsubmit: (event) => { event.preventDefault(); sendCalibration(event.target, load); } },
    make("label", {}, "Pictures, a .zip of pictures, or an .npz of ready tensors ", make("input", { type: "file", name: "files", multiple: true, required: true, accept: "image/*,.zip,.npz" })),
    make("button", { type: "submit" }, "Upload"));
  return make("section", { class: "card" }, make("h2", {}, "Calibration pictures"), make("p", { class: "soft small" }, "Not needed for measuring. A front and plans take them, to know what a decomposition costs."),
    make("label", {}, "Pictures ", select), make("details", {}, make("summary", {}, "Upload pictures"), form));
}

function startPart(state) {
  const number = (label, name, more) => make("label", {}, label, " ", make("input", { name, type: "number", min: 1, ...more }));
  const send = async (event) => {
    event.preventDefault();
    const given = values(event.target);
    choose({ threads: given.threads, batch: given.batch ?? "" });
    const job = await submit("/profiles", { network: state.network, backend: chosen("backend"), ...given });
    if (job) go(["jobs", job.id]);
  };
  return make("section", { class: "card" }, make("h2", {}, "Profile"), make("form", { id: "profile-form", class: "row", onsubmit: send },
    number("Threads", "threads", { max: 1024, value: chosen("threads") || 1, required: true }), number("Batch", "batch", { max: 4096, placeholder: "as the network" }),
    number("Rank quantum", "rank_quantum", { max: 4096, placeholder: "the device's" }), number("At most (seconds)", "max_time_s", { placeholder: "no limit" }),
    make("button", { type: "submit" }, "Start the profile")));
}

async function busy(form, work) {
  const button = form.querySelector("button");
  button.disabled = true;
  say("uploading ...");
  await attempt(work);
  button.disabled = false;
}

function sendNetwork(form, load) {
  const [file] = form.elements.file.files;
  const query = new URLSearchParams({ name: file.name });
  if (form.elements.architecture.value) query.set("architecture", form.elements.architecture.value);
  if (form.elements.shape.value) query.set("input_shape", form.elements.shape.value);
  return busy(form, async () => {
    const made = await upload(`/networks?${query}`, file);
    forget();
    await load(made.id);
    say(`${made.name} is here: ${made.layers} layers`);
  });
}

function sendCalibration(form, load) {
  const files = [...form.elements.files.files];
  const packed = files.length === 1 && /\.(zip|npz)$/i.test(files[0].name);
  const name = packed ? files[0].name : `${files.length} pictures`;
  return busy(form, async () => {
    const { zip } = await import("../parts/zip.js");
    const made = await upload(`/calibrations?${new URLSearchParams({ name })}`, packed ? files[0] : await zip(files));
    forget();
    await load(made.id);
    say(`${made.name}: ${made.count} ${made.kind}`);
  });
}
