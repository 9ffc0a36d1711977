// The picture of a network: layers as boxes, coloured by their share of time or by what can be saved.

import { draw, make } from "./dom.js";
import { BOX, laidOut } from "./layout.js";
import { duration, percent, shape } from "./texts.js";

const LEVELS = [0.01, 0.03, 0.08]; // shares of time from which a colour is the next darker one
const ZOOMS = [0.1, 0.15, 0.25, 0.35, 0.5, 0.7, 1, 1.4, 2];
const FAR = 0.45; // below this, texts are too small to be read
const NAME_CHARS = 25;
const TOGETHER = 30; // edges that are one element: fewer are quicker to make, longer ones slower to paint

export const level = (share) => (share > 0 ? 1 + LEVELS.filter((edge) => share >= edge).length : 0);

/** What colours mean. */
export function key(by) {
  const name = by === "time" ? "level" : "gain";
  const ends = ["up to 1 %", "1 to 3 %", "3 to 8 %", "over 8 %"];
  const what = by === "time" ? "of the layers' time" : "of the layers' time can be saved";
  return make("ul", { class: "key" }, ends.map((text, at) => make("li", {},
    draw("svg", { viewBox: "0 0 16 14", "aria-hidden": "true" }, draw("rect", { x: 1, y: 1, width: 14, height: 12, rx: 3, class: `swatch ${name}${at + 1}` })), text, at ? null : ` ${what}`)));
}

/**
 * The picture in a frame that scrolls. `graph` as the service gives it, `specs` and `facts` by layer
 * name; `chosen(name)` is told which layer was pressed. One node can be reached by Tab, the others from
 * it by arrow keys.
 */
export function networkPicture({ graph, specs, facts, onchoose }) {
  const places = laidOut(graph);
  const drawing = draw("svg", { viewBox: `0 0 ${places.width} ${places.height}`, role: "group", "aria-label": "The network's layers" });
  if (!graph.known) drawing.append(...groupBoxes(graph.nodes, places.nodes));
  for (let at = 0; at < places.edges.length; at += TOGETHER) {
    drawing.append(draw("path", { class: "edge", d: places.edges.slice(at, at + TOGETHER).map(curve).join("") }));
  }
  const boxes = new Map();
  graph.nodes.forEach((node, at) => {
    const box = node.layer ? layerBox(node, places.nodes[at], specs.get(node.name)) : joinBox(node, places.nodes[at]);
    if (node.layer) boxes.set(node.name, [...(boxes.get(node.name) ?? []), box]);
    drawing.append(box);
  });
  const frame = make("div", { class: "scroller graph", tabindex: 0, role: "region", "aria-label": "The network's graph" }, drawing);
  const order = graph.nodes.filter((node) => node.layer).map((node) => node.name);
  const picture = { element: frame, zoom: 1, places };

  const press = (event) => {
    const box = event.target.closest?.(".node");
    if (box && !picture.dragged) onchoose(box.dataset.layer);
  };
  drawing.addEventListener("click", press);
  drawing.addEventListener("keydown", (event) => {
    const box = event.target.closest(".node");
    if (!box) return;
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); return onchoose(box.dataset.layer); }
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    const next = step && order[order.indexOf(box.dataset.layer) + step];
    if (!next) return undefined;
    event.preventDefault();
    reach(next);
    return boxes.get(next)[0].focus();
  });
  drag(frame, picture);
  frame.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    zoomTo(event.deltaY < 0 ? next(picture.zoom, 1) : next(picture.zoom, -1), event);
  }, { passive: false });

  function zoomTo(zoom, at) {
    const box = frame.getBoundingClientRect();
    const [x, y] = at ? [at.clientX - box.left, at.clientY - box.top] : [frame.clientWidth / 2, frame.clientHeight / 2];
    const [left, top] = [(frame.scrollLeft + x) / picture.zoom, (frame.scrollTop + y) / picture.zoom];
    picture.zoom = zoom;
    drawing.setAttribute("width", Math.round(places.width * zoom));
    drawing.setAttribute("height", Math.round(places.height * zoom));
    drawing.classList.toggle("far", zoom < FAR);
    frame.scrollTo(left * zoom - x, top * zoom - y);
  }

  /** Make this the layer that Tab reaches. */
  function reach(name) {
    for (const list of boxes.values()) list.forEach((box) => box.setAttribute("tabindex", -1));
    boxes.get(name)?.[0].setAttribute("tabindex", 0);
  }

  /** Colour by `time` or `saving`. */
  function colour(by) {
    const most = Math.max(...[...facts.values()].map((one) => shareOf(one, by)));
    for (const [name, list] of boxes) list.forEach((box) => paint(box, facts.get(name), by, most));
  }

  function choose(name, { scroll = true } = {}) {
    for (const [one, list] of boxes) list.forEach((box) => { box.classList.toggle("chosen", one === name); });
    if (!boxes.has(name)) return;
    reach(name);
    const node = places.nodes[graph.nodes.findIndex((one) => one.layer && one.name === name)];
    const y = node.y * picture.zoom;
    if (scroll && (y < frame.scrollTop + 40 || y > frame.scrollTop + frame.clientHeight - 40)) {
      frame.scrollTo(node.x * picture.zoom - frame.clientWidth / 2, y - frame.clientHeight / 2);
    }
  }

  reach(order[0]);
  zoomTo(1);
  return Object.assign(picture, {
    colour, choose,
    nearer: () => zoomTo(next(picture.zoom, 1)),
    farther: () => zoomTo(next(picture.zoom, -1)),
    whole: () => {
      zoomTo(Math.max(ZOOMS[0], Math.min(1, frame.clientHeight / places.height, frame.clientWidth / places.width)));
      frame.scrollTo(0, 0);
    },
    plain: () => { zoomTo(1); },
  });
}

const next = (zoom, step) => (step > 0 ? ZOOMS.find((one) => one > zoom + 0.001) : ZOOMS.findLast((one) => one < zoom - 0.001)) ?? zoom;

/** The picture follows a pressed mouse; fingers scroll it by themselves. */
function drag(frame, picture) {
  let from = null;
  frame.addEventListener("pointerdown", (event) => {
    picture.dragged = false;
    if (event.pointerType !== "mouse" || event.button) return;
    from = { x: event.clientX + frame.scrollLeft, y: event.clientY + frame.scrollTop };
  });
  frame.addEventListener("pointermove", (event) => {
    if (!from) return;
    const [left, top] = [from.x - event.clientX, from.y - event.clientY];
    if (!picture.dragged && Math.hypot(left - frame.scrollLeft, top - frame.scrollTop) < 5) return;
    if (!picture.dragged) frame.setPointerCapture(event.pointerId);
    picture.dragged = true;
    frame.classList.add("held");
    frame.scrollTo(left, top);
  });
  const end = () => { from = null; frame.classList.remove("held"); };
  frame.addEventListener("pointerup", end);
  frame.addEventListener("pointercancel", end);
}

function curve([first, ...points]) {
  let path = `M${first.x} ${first.y}`;
  points.forEach((point, at) => {
    const after = points[at + 1];
    path += after ? `Q${point.x} ${point.y} ${(point.x + after.x) / 2} ${(point.y + after.y) / 2}` : `L${point.x} ${point.y}`;
  });
  return path;
}

/** The end of a long name, which is what tells layers apart. */
const short = (name) => (name.length > NAME_CHARS ? `\u2026${name.slice(1 - NAME_CHARS)}` : name);

/** A box without its texts; copies of it are made faster than boxes. */
const pattern = draw("g", { class: "node", role: "button", tabindex: -1 },
  draw("title"), draw("rect", { class: "box", width: BOX.width, height: BOX.height, rx: 7 }),
  draw("text", { x: 9, y: 17 }), draw("text", { x: 9, y: 33, class: "shape" }), draw("text", { x: 9, y: 48, class: "figure" }),
  draw("rect", { class: "rail", x: 96, y: 42, width: 71, height: 6, rx: 3 }), draw("rect", { class: "share", x: 96, y: 42, width: 0, height: 6, rx: 3 }));

function layerBox(node, { x, y, width, height }, spec) {
  const box = pattern.cloneNode(true);
  box.setAttribute("transform", `translate(${x - width / 2} ${y - height / 2})`);
  box.dataset.layer = node.name;
  const [name, form] = box.querySelectorAll("text");
  name.textContent = short(node.name);
  form.textContent = spec ? shape(spec) : node.op;
  return box;
}

function joinBox(node, { x, y, width, height }) {
  return draw("g", { class: "join", transform: `translate(${x - width / 2} ${y - height / 2})` },
    draw("rect", { width, height, rx: height / 2 }), draw("text", { x: width / 2, y: 15, "text-anchor": "middle" }, node.op.length > 8 ? `${node.op.slice(0, 7)}\u2026` : node.op));
}

const shareOf = (facts, by) => (by === "time" ? facts.share : facts.savingShare);

/** Colour, figure and bar of one layer; the longest bar is that of the layer with `most`. */
function paint(box, facts, by, most) {
  const share = facts ? shareOf(facts, by) : 0;
  const chosen = box.classList.contains("chosen");
  box.setAttribute("class", `node ${facts ? `${by}${level(share)}` : "unmeasured"}${chosen ? " chosen" : ""}`);
  const text = !facts ? "not measured" : by === "time" ? percent(share) : facts.saving ? `\u2212${duration(facts.saving)}` : "nothing";
  box.querySelector(".figure").textContent = text;
  box.querySelector(".share").setAttribute("width", most > 0 ? 71 * share / most : 0);
  box.querySelector(".rail").toggleAttribute("hidden", !facts);
  const told = !facts ? "not measured" : `${percent(facts.share)} of the time, ${facts.saving ? `${duration(facts.saving)} can be saved` : "nothing can be saved"}`;
  box.querySelector("title").textContent = `${box.dataset.layer}: ${told}`;
}

/** Boxes around neighbours whose names begin alike, where nothing is known of edges. */
function groupBoxes(nodes, places) {
  const prefix = ({ name }) => name.replace(/^\//, "").split(/[./]/).slice(0, -1).join(".");
  const boxes = [];
  for (let at = 0; at < nodes.length;) {
    let end = at;
    while (end + 1 < nodes.length && prefix(nodes[end + 1]) === prefix(nodes[at])) end += 1;
    const [first, last] = [places[at], places[end]];
    if (prefix(nodes[at]) && end > at) {
      boxes.push(draw("rect", { class: "group", x: first.x - first.width / 2 - 8, y: first.y - first.height / 2 - 8,
        width: first.width + 16, height: last.y - first.y + first.height + 16, rx: 10 }));
    }
    at = end + 1;
  }
  return boxes;
}
