// One network: its graph, table, front and plans, each with an address of its own.

import { forget, get } from "../parts/api.js";
import { link, note } from "../parts/address.js";
import { networkData, settingOf } from "../parts/data.js";
import { attempt, choice, make } from "../parts/dom.js";
import { jobs } from "../parts/jobs.js";
import { mebibytes } from "../parts/texts.js";

const TABS = [
  ["graph", "Graph", () => import("./graph.js")],
  ["table", "Table", () => import("./table.js")],
  ["front", "Front", () => import("./front.js")],
  ["plans", "Plans", () => import("./plans.js")],
];

/** Have the code of all tabs. */
export const learnTabs = () => TABS.forEach(([, , load]) => load());

const GROWS_MS = 8000;

export async function show(page, { parts: [id, tab = "graph"], query, current }) {
  if (!id) throw new Error("No network was named.");
  const opened = (TABS.find(([name]) => name === tab) ?? TABS[0]);
  const loading = opened[2]();
  loading.then((view) => view.asks?.(id)); // while the table is on its way
  const [data, view] = await Promise.all([networkData(id), loading]);
  if (!current()) return undefined;
  const { network } = data;
  const known = [network.input_shape && `input ${network.input_shape.join("\u00d7")}`, `${data.layers.length} layers`,
    network.bytes ? mebibytes(network.bytes) : "", network.format === "store" ? "measured on the command line" : "", `SHA-256 ${network.sha256.slice(0, 12)}`];
  const on = query.get("on") ?? "";
  const tabs = TABS.map(([name, title]) => make("a", { href: link(["networks", id, name], { on }), "aria-current": name === opened[0] ? "page" : null }, title));
  const body = make("div", { class: "tab" });
  page.append(make("h1", {}, network.name), make("p", { class: "soft small" }, known.filter(Boolean).join(", ")),
    make("nav", { class: "tabs", "aria-label": "Parts of this network" }, tabs), body);
  if (!data.settings.length && network.format !== "store" && ["graph", "table"].includes(opened[0])) body.append(nothingYet(id));
  let end = null;
  const drawWith = async (setting) => {
    end?.();
    end = await view.draw(body, { id, data, setting, query, settingChoice: settingChoice(data, setting, (chosen) => {
      note({ on: chosen });
      query.set("on", chosen);
      for (const one of page.querySelectorAll(".tabs a")) one.href = link(["networks", id, one.textContent.toLowerCase()], { on: chosen });
      drawWith(settingOf(data, chosen));
    }) });
  };
  await drawWith(settingOf(data, on));
  const rest = growth(page, id, data);
  return () => { rest(); end?.(); };
}

/** While this network is measured: say that there is more, and show it when the reader wants to. */
function growth(page, id, data) {
  const count = data.settings.reduce((sum, one) => sum + one.rows.length, 0);
  const look = async () => {
    if (document.hidden || !page.isConnected || page.querySelector("#more")) return;
    if (!jobs().some((job) => job.kind === "profile" && job.state === "running" && job.request.network === id)) return;
    const now = (await get(`/tables/columns?network=${data.network.sha256}`)).columns.spec.length;
    if (now <= count) return;
    const again = () => { forget(); window.dispatchEvent(new HashChangeEvent("hashchange")); };
    page.querySelector(".tabs").after(make("p", { class: "card next", id: "more", role: "status" }, `${now - count} more candidates were measured. `,
      make("button", { type: "button", class: "quiet", onclick: again }, "Show them")));
  };
  const timer = setInterval(() => attempt(look), GROWS_MS);
  return () => clearInterval(timer);
}

function nothingYet(id) {
  return make("section", { class: "card next" }, make("h2", {}, "Nothing of this network was measured yet"),
    make("p", {}, make("a", { class: "button", href: link(["measure"], { network: id }) }, "Measure it")));
}

/** Which device and policy is shown; nothing where there is only one. */
function settingChoice(data, setting, chosen) {
  if (!data.settings.length) return null;
  return choice("Measured on", data.settings.map((one) => [one.id, one.text]), setting.id, chosen, { class: "inline", id: "setting" });
}
