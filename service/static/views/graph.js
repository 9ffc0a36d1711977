// The network's graph, and beside it the layer that was chosen.

import { read } from "../parts/api.js";
import { note } from "../parts/address.js";
import { layerFacts } from "../parts/data.js";
import { make } from "../parts/dom.js";
import { key, networkPicture } from "../parts/graph.js";
import { duration, percent } from "../parts/texts.js";
import { layerPanel, summaryPanel } from "./layer.js";

const path = (id) => `/networks/${id}/graph`;

/** Ask for what `draw` will read. */
export const asks = (id) => { read(path(id)).catch(() => {}); };

export async function draw(body, { id, data, setting, query, settingChoice }) {
  const graph = await read(path(id));
  const facts = layerFacts(data.layers, setting);
  const specs = new Map(data.layers.map((layer) => [layer.name, layer.spec]));
  const side = make("aside", { class: "card", "aria-label": "The chosen layer", "aria-live": "polite" });
  const picture = networkPicture({ graph, specs, facts: facts.byName, onchoose: (name) => pick(name) });
  const keys = make("div", {});
  let by = query.get("by") === "saving" ? "saving" : "time";

  function pick(name, scroll = false) {
    const layer = data.layers.find((one) => one.name === name);
    note({ layer: layer?.name ?? "" });
    query.set("layer", layer?.name ?? "");
    picture.choose(layer?.name, { scroll });
    const close = () => { pick(""); };
    side.replaceChildren(...(layer ? layerPanel(layer, facts.byName.get(name), close) : summaryPanel(data, facts, (one) => pick(one, true))));
  }

  function colour(chosen) {
    by = chosen;
    note({ by: by === "time" ? "" : by });
    picture.colour(by);
    keys.replaceChildren(key(by));
  }

  const radio = (value, text) => make("label", {}, make("input", { type: "radio", name: "by", value, checked: by === value, onchange: () => colour(value) }), text);
  const button = (text, title, onclick) => make("button", { type: "button", class: "quiet", "aria-label": title, title, onclick }, text);
  const bar = make("div", { class: "bar" }, settingChoice,
    make("fieldset", {}, make("legend", {}, "Colour by"), radio("time", "share of time"), radio("saving", "saving")),
    make("span", { class: "links spread" }, button("\u2212", "Smaller", picture.farther), button("+", "Larger", picture.nearer),
      button("Whole", "The whole network", picture.whole), button("1:1", "1:1, full size", picture.plain)));
  const total = facts.byName.size ? make("p", { class: "small" }, `The measured layers take ${duration(facts.total)} one after the other; `
    + `the best candidates would save ${duration(facts.saving)} (${percent(facts.saving / facts.total)}), before any limit on the error.`) : null;
  const order = graph.known ? null : make("p", { class: "soft small" }, "How layers follow one another could not be read from this network: they stand in its order.");
  body.replaceChildren(...[body.querySelector(".next"), bar, total, order, make("div", { class: "workplace" }, make("div", {}, picture.element, keys), side)].filter(Boolean));
  colour(by);
  pick(query.get("layer") ?? "");
  const wanted = query.get("layer");
  if (wanted) requestAnimationFrame(() => picture.choose(wanted));
}
