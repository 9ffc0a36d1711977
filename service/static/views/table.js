// The speedup table: sorted, filtered, searched, and beside another device's.

import { address } from "../parts/api.js";
import { note } from "../parts/address.js";
import { choice, make } from "../parts/dom.js";
import { longTable } from "../parts/rows.js";
import { decomposition, duration, fixed, shape, times } from "../parts/texts.js";

const VERDICTS = ["FASTER", "SAME", "UNDECIDED", "SLOWER"];
const WAIT_MS = 80; // after a key, before the table follows

export function draw(body, { data, setting, query, settingChoice }) {
  if (!setting) return;
  const sort = { by: query.get("sort") || "saving", falling: query.get("order") !== "rising" };
  const wanted = { text: query.get("find") ?? "", verdicts: new Set((query.get("verdict") || VERDICTS.join(" ")).split(" ")), kind: query.get("kind") ?? "" };
  const others = data.settings.filter((one) => one !== setting);
  let beside = others.find((one) => one.id === query.get("beside"));
  let both = query.get("both") !== "no"; // only candidates that were measured on both devices
  const told = make("p", { class: "soft small", role: "status" });
  const place = make("div", {});
  let rows = [];
  let table = null;

  function build() {
    rows = joined(setting.rows, beside?.rows);
    table = longTable({ label: "Speedup table", columns: columns(Boolean(beside)), sort, sorted: () => { note({ sort: sort.by, order: sort.falling ? "" : "rising" }); filter(); } });
    place.replaceChildren(table.element);
    filter();
  }

  function filter() {
    const words = wanted.text.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (row) => (!beside || !both || row.other) && wanted.verdicts.has(row.verdict) && (!wanted.kind || row.kind === wanted.kind) && words.every((word) => row.search.includes(word));
    const found = rows.filter(fits);
    table.show(found);
    const saved = found.reduce((sum, row) => sum + (row.verdict === "FASTER" ? 1 : 0), 0);
    told.textContent = `${found.length} of ${rows.length} candidates, ${saved} of them FASTER.${data.failures.length ? ` ${data.failures.length} failed.` : ""}`;
  }

  let timer = 0;
  const search = make("input", { type: "search", value: wanted.text, placeholder: "layer, shape, kind", id: "find", oninput: () => {
    wanted.text = search.value;
    clearTimeout(timer);
    timer = setTimeout(() => { note({ find: wanted.text }); filter(); }, WAIT_MS);
  } });
  const tick = (verdict) => make("label", {}, make("input", { type: "checkbox", checked: wanted.verdicts.has(verdict), value: verdict, onchange: (event) => {
    if (event.target.checked) wanted.verdicts.add(verdict);
    else wanted.verdicts.delete(verdict);
    note({ verdict: wanted.verdicts.size === VERDICTS.length ? "" : [...wanted.verdicts].join(" ") });
    filter();
  } }), make("span", { class: `verdict ${verdict}` }, verdict));
  const kinds = [...new Set(setting.rows.map((row) => row.kind))].sort();
  const kindChoice = choice("Kind", [["", "all"], ...kinds.map((kind) => [kind, kind])], wanted.kind, (kind) => { wanted.kind = kind; note({ kind }); filter(); }, { class: "inline" });
  const besideChoice = others.length ? choice("Beside", [["", "nothing"], ...others.map((one) => [one.id, one.text])], beside?.id ?? "", (id) => {
    beside = others.find((one) => one.id === id);
    onlyBoth.hidden = !beside;
    note({ beside: id });
    build();
  }, { class: "inline", id: "beside" }) : null;
  const onlyBoth = make("label", { class: "check inline", hidden: !beside }, make("input", { type: "checkbox", checked: both, onchange: (event) => {
    both = event.target.checked;
    note({ both: both ? "" : "no" });
    filter();
  } }), "only what both have");
  body.replaceChildren(
    make("div", { class: "bar" }, settingChoice, besideChoice, onlyBoth, make("span", { class: "links spread" }, downloads(data.network.sha256))),
    make("div", { class: "bar" }, make("label", { class: "inline" }, "Find ", search), make("span", { class: "chips", role: "group", "aria-label": "Verdicts" }, VERDICTS.map(tick)), kindChoice),
    told, place, failures(data.failures));
  build();
}

/** Rows with the same candidate on the other device, and what is searched in. */
function joined(rows, others) {
  const key = (row) => `${row.spec.key} ${decomposition(row)}`;
  const beside = new Map((others ?? []).map((row) => [key(row), row]));
  return rows.map((row) => ({ ...row, row, other: beside.get(key(row)),
    search: [...row.spec.layers, shape(row.spec.spec), row.kind, row.ranks.join("x"), row.spec.op].join(" ").toLowerCase().replaceAll("\u00d7", "x") }));
}

const counted = (row) => (row.spec.count > 1 ? ` (\u00d7${row.spec.count})` : "");

function columns(beside) {
  const first = [
    { key: "layer", title: "layer", class: "w14", cell: (row) => `${row.layer}${counted(row)}`, order: (row) => row.layer, hint: (row) => row.spec.layers.join("\n") },
    { key: "shape", title: "shape", class: "w8", cell: (row) => shape(row.spec.spec), order: (row) => row.spec.original_macs },
    { key: "candidate", title: "candidate", class: "w10", cell: decomposition, order: decomposition },
    { key: "speedup", title: "speedup", class: "figure w6", cell: (row) => times(row.speedup), order: (row) => row.speedup },
    { key: "interval", title: "interval", class: "figure w8", cell: (row) => (row.speedup == null ? "" : `${fixed(row.speedup_low)} to ${fixed(row.speedup_high)}`), order: (row) => (row.speedup == null ? null : row.speedup_high - row.speedup_low) },
    { key: "verdict", title: "verdict", class: "w8", badge: true, cell: (row) => row.verdict, order: (row) => row.verdict },
    { key: "saving", title: "saving", class: "figure w6", cell: (row) => duration(row.saving_s), order: (row) => row.saving_s },
    { key: "latency", title: "latency", class: "figure w6", cell: (row) => duration(row.latency_s), order: (row) => row.latency_s },
    { key: "original", title: "original", class: "figure w6", cell: (row) => duration(row.original_latency_s), order: (row) => row.original_latency_s },
  ];
  const last = [
    { key: "macs", title: "MACs left", class: "figure w7", cell: (row) => `${Math.round(100 * row.macs / row.spec.original_macs)} %`, order: (row) => row.macs / row.spec.original_macs },
  ];
  if (!beside) return [...first, ...last];
  const other = (key, title, width, cell, order, badge) => ({ key: `other-${key}`, title, class: width, badge, cell: (row) => (row.other ? cell(row.other) : "-"), order: (row) => (row.other ? order(row.other) : null) });
  return [...first.filter(({ key }) => !["interval", "latency", "original"].includes(key)),
    other("speedup", "beside: speedup", "figure w10", (row) => times(row.speedup), (row) => row.speedup),
    other("verdict", "beside: verdict", "w10", (row) => row.verdict, (row) => row.verdict, true),
    other("saving", "beside: saving", "figure w10", (row) => duration(row.saving_s), (row) => row.saving_s),
    { key: "ratio", title: "ratio", class: "figure w6", cell: (row) => times(ratio(row)), order: ratio }];
}

const ratio = (row) => (row.other?.speedup && row.speedup ? row.other.speedup / row.speedup : null);

function downloads(sha256) {
  const one = (format) => make("a", { class: "button quiet", download: `table.${format}`, href: address(`/tables?network=${sha256}&format=${format}&limit=10000`) }, format.toUpperCase());
  return ["csv", "parquet", "json"].map(one);
}

function failures(failed) {
  if (!failed.length) return "";
  return make("details", {}, make("summary", {}, `${failed.length} candidates failed`),
    make("ul", {}, failed.map((one) => make("li", {}, `${one.layer} ${decomposition(one.decomposition)}: ${one.stage}: ${one.reason}`))));
}
