// A network's speedup table as rows, and what follows from it for each layer.

import { read } from "./api.js";
import { settings as settingTexts } from "./texts.js";

const IS_HASH = /^[0-9a-f]{64}$/;
const tablePath = (sha256) => `/tables/columns?network=${sha256}`;

/** The network, its layers, and its rows by setting (a device and a policy), the newest first. */
export async function networkData(id) {
  if (IS_HASH.test(id)) read(tablePath(id)).catch(() => {}); // the longest answer is asked for first
  const [network, document_] = await Promise.all([read(`/networks/${id}`), read(`/networks/${id}/layers`)]);
  const sha256 = network.sha256 ?? document_.model.sha256;
  const table = await read(tablePath(sha256));
  return { network: { ...network, sha256 }, layers: document_.layers, settings: settingsOf(table), failures: table.failures };
}

const made = new WeakMap(); // settings by the table that they were made of

function settingsOf(table) {
  if (!made.has(table)) made.set(table, ordered(table, rowsOf(table)));
  return made.get(table);
}

function rowsOf({ specs, columns }) {
  const names = Object.keys(columns);
  return columns.spec.map((place, at) => {
    const row = {};
    for (const name of names) row[name] = columns[name][at];
    row.spec = specs[place];
    row.layer = row.spec.layers[0];
    return row;
  });
}

function ordered(table, rows) {
  const texts = settingTexts(table.settings);
  const groups = table.settings.map((one, at) => ({ ...one, text: texts[at], rows: [], newest: "" }));
  for (const row of rows) {
    const group = groups[row.setting];
    group.rows.push(row);
    if (row.measured_at > group.newest) group.newest = row.measured_at;
  }
  groups.sort((a, b) => b.newest.localeCompare(a.newest));
  for (const group of groups) {
    const { backend, hardware_key, software_key } = group.device;
    group.id = [backend, hardware_key.slice(0, 6), software_key.slice(0, 6), short(JSON.stringify(group.policy))].join(".");
  }
  return groups;
}

/** A few characters that differ where texts differ. */
function short(text) {
  let sum = 5381;
  for (const one of text) sum = (sum * 33 + one.codePointAt(0)) % 2147483647;
  return sum.toString(36);
}

/** The setting with that id, else the newest. */
export const settingOf = (data, id) => data.settings.find((one) => one.id === id) ?? data.settings[0];

const middle = (numbers) => {
  const sorted = numbers.filter((one) => one != null).sort((a, b) => a - b);
  return sorted.length ? sorted[sorted.length >> 1] : null;
};

/**
 * By layer name: its latency, its share of all measured layers' time, the candidate that saves
 * most, what that saves of the layers' time, and the rows.
 */
export function layerFacts(layers, setting) {
  const bySpec = new Map();
  for (const row of setting?.rows ?? []) {
    if (!bySpec.has(row.spec.key)) bySpec.set(row.spec.key, []);
    bySpec.get(row.spec.key).push(row);
  }
  const ofSpec = new Map([...bySpec].map(([key, rows]) => [key, specFacts(rows)]));
  const found = new Map();
  for (const layer of layers) {
    const facts = layer.spec_key && ofSpec.get(layer.spec_key);
    if (facts) found.set(layer.name, { ...facts, seconds: facts.seconds * (layer.calls ?? 1), saving: facts.saving * (layer.calls ?? 1) });
  }
  const total = [...found.values()].reduce((sum, one) => sum + one.seconds, 0);
  for (const one of found.values()) Object.assign(one, { share: one.seconds / total, savingShare: one.saving / total });
  return { byName: found, total, saving: [...found.values()].reduce((sum, one) => sum + one.saving, 0) };
}

function specFacts(rows) {
  const seconds = middle(rows.map((row) => row.original_latency_s)) ?? 0;
  // Of the time that the layer takes: one session's seconds may be more than that in another.
  const saved = (row) => (row.speedup && seconds ? seconds * (1 - 1 / row.speedup) : row.saving_s);
  const faster = rows.filter((row) => row.verdict === "FASTER" && saved(row) > 0);
  const best = faster.reduce((a, b) => (a && saved(a) >= saved(b) ? a : b), null);
  return { rows, seconds, best, saving: best ? saved(best) : 0 };
}
