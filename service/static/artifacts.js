// Devices, networks, calibration pictures: choosing and uploading.

import { get, upload } from "./api.js";
import { $, attempt, make, options, say } from "./dom.js";
import { submit } from "./jobs.js";
import { known, network, state } from "./state.js";
import { zip } from "./zip.js";

export async function loadDevices() {
  known.devices = (await get("/devices")).devices;
  const list = $("device-list");
  const legend = list.querySelector("legend");
  list.replaceChildren(legend, ...known.devices.map(card));
  if (!known.devices.length) list.append(make("p", { class: "empty" }, "Trying the devices of this machine ..."));
  const usable = known.devices.filter((device) => device.available);
  const wanted = usable.find((device) => device.backend === state.get("backend")) ?? usable.find(
    (device) => device.backend !== "fake") ?? usable[0];
  if (!wanted) return;
  list.querySelector(`input[value="${wanted.backend}"]`).checked = true;
  state.set("backend", wanted.backend);
}

function card(device) {
  const hardware = device.fingerprint?.hardware ?? {};
  const software = Object.entries(device.fingerprint?.software ?? {}).map((pair) => pair.join(" "));
  const facts = [hardware.chip, hardware.cores && `${hardware.cores} cores`, hardware.memory_gib && `${hardware.memory_gib} GiB`];
  const input = make("input", {
    type: "radio", name: "backend", value: device.backend, disabled: !device.available,
    onchange: () => state.set("backend", device.backend),
  });
  return make("label", { class: "card" }, input, " ", make("b", {}, device.backend),
    make("div", { class: device.available ? "pass" : "absent" }, device.reason),
    make("small", {}, [...facts.filter(Boolean), ...software].join(", ")));
}

export async function loadNetworks() {
  known.networks = (await get("/networks?limit=1000")).items;
  options($("network"), known.networks.map((one) => [one.id, `${one.name} (${one.format})`]), state.get("network"));
  const zoo = known.networks.filter((one) => one.format === "zoo");
  options($("upload-network").elements.architecture, [["", "(.onnx has its own)"], ...zoo.map((one) => [one.id, one.name])], "");
  state.set("network", $("network").value);
  describe();
}

export function describe() {
  const one = network();
  if (!one) return;
  const facts = [one.input_shape && `input ${one.input_shape.join("x")}`, one.layers && `${one.layers} layers`,
    one.sha256 && `SHA-256 ${one.sha256.slice(0, 12)}`, one.bytes && `${(one.bytes / 2 ** 20).toFixed(1)} MiB`];
  $("network-facts").textContent = facts.filter(Boolean).join(", ");
}

export async function loadCalibrations() {
  known.calibrations = (await get("/calibrations?limit=1000")).items;
  const entries = known.calibrations.map((one) => [one.id, `${one.name} (${one.count} ${one.kind === "pictures" ? "pictures" : "examples"})`]);
  options($("calibration"), [["", "none: errors on noise"], ...entries], state.get("calibration"));
  state.set("calibration", $("calibration").value);
}

/** What searching needs to know of pictures. */
export function searching() {
  const calibration = state.get("calibration");
  if (!calibration) return {};
  const pictures = known.calibrations.find((one) => one.id === calibration)?.kind === "pictures";
  return pictures ? { calibration, preprocess: $("preprocess").value } : { calibration };
}

export function listen() {
  $("try-devices").addEventListener("click", () => submit("/devices", {}));
  $("network").addEventListener("change", () => { state.set("network", $("network").value); describe(); });
  $("calibration").addEventListener("change", () => state.set("calibration", $("calibration").value));
  $("preprocess").value = state.get("preprocess") || "imagenet";
  $("preprocess").addEventListener("change", () => state.set("preprocess", $("preprocess").value));
  $("upload-network").addEventListener("submit", (event) => { event.preventDefault(); sendNetwork(event.target); });
  $("upload-calibration").addEventListener("submit", (event) => { event.preventDefault(); sendCalibration(event.target); });
}

async function busy(form, work) {
  const button = form.querySelector("button");
  button.disabled = true;
  say("uploading ...");
  await attempt(work);
  button.disabled = false;
}

function sendNetwork(form) {
  const [file] = form.elements.file.files;
  const query = new URLSearchParams({ name: file.name });
  if (form.elements.architecture.value) query.set("architecture", form.elements.architecture.value);
  if (form.elements.shape.value) query.set("input_shape", form.elements.shape.value);
  return busy(form, async () => {
    const made = await upload(`/networks?${query}`, file);
    state.set("network", made.id);
    await loadNetworks();
    say(`${made.name} is here: ${made.layers} layers`);
  });
}

function sendCalibration(form) {
  const files = [...form.elements.files.files];
  const packed = files.length === 1 && /\.(zip|npz)$/i.test(files[0].name);
  const name = packed ? files[0].name : `${files.length} pictures`;
  return busy(form, async () => {
    const body = packed ? files[0] : await zip(files);
    const made = await upload(`/calibrations?${new URLSearchParams({ name })}`, body);
    state.set("calibration", made.id);
    await loadCalibrations();
    say(`${made.name}: ${made.count} ${made.kind}`);
  });
}
