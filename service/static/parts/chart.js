// Charts of points with intervals: uPlot draws axes, scales and zoom, and what is on them is drawn here.

import { make } from "./dom.js";

const FOLDER = "/static/vendor/uplot/";
const HEIGHT = 300;
const NEAR_PX = 24;
const [X_APART_PX, Y_APART_PX] = [80, 30]; // figures on an axis are so far apart at least
let loading = null;

function library() {
  loading ??= new Promise((resolve, reject) => {
    const style = make("link", { rel: "stylesheet", href: `${FOLDER}uPlot.min.css` });
    const script = make("script", { src: `${FOLDER}uPlot.iife.min.js` });
    script.onload = () => resolve(window.uPlot);
    script.onerror = () => reject(new Error("the chart library did not load"));
    document.head.append(style, script);
  });
  return loading;
}

const probe = make("span", { hidden: true });

/** A colour of the style sheet as the theme has it now. */
function colour(name) {
  if (!probe.isConnected) document.body.append(probe);
  probe.style.color = `var(--${name})`;
  return getComputedStyle(probe).color;
}

const SHAPES = [
  (path, x, y, r) => path.arc(x, y, r, 0, 2 * Math.PI),
  (path, x, y, r) => path.rect(x - r * 0.9, y - r * 0.9, r * 1.8, r * 1.8),
  (path, x, y, r) => { path.moveTo(x, y - r * 1.2); path.lineTo(x + r * 1.1, y + r * 0.8); path.lineTo(x - r * 1.1, y + r * 0.8); path.closePath(); },
  (path, x, y, r) => { path.moveTo(x, y - r * 1.25); path.lineTo(x + r * 1.25, y); path.lineTo(x, y + r * 1.25); path.lineTo(x - r * 1.25, y); path.closePath(); },
  (path, x, y, r) => { path.moveTo(x - r, y - r * 0.8); path.lineTo(x + r, y - r * 0.8); path.lineTo(x, y + r * 1.2); path.closePath(); },
  (path, x, y, r) => { path.rect(x - r * 1.2, y - r * 0.4, r * 2.4, r * 0.8); path.rect(x - r * 0.4, y - r * 1.2, r * 0.8, r * 2.4); },
];

/**
 * A chart. `series`: {label, line ("steps", "straight" or none), points: [{x, y, low, high, text, hollow}]};
 * `across`: {y, text, end}, a level to compare with, named at its beginning or its end; `onchoose` gets the point that is clicked.
 * Gives the element and `choose`, which marks a point.
 */
export function pointChart({ label, series, across, xTitle, yTitle, xText = String, yText, onchoose, fromZero }) {
  const place = make("div", { class: "chart", role: "img", "aria-label": label });
  const tip = make("div", { class: "tip", hidden: true });
  const chart = { plot: null, chosen: null };
  const redraw = () => chart.plot?.redraw(false);
  const points = series.flatMap((one, number) => one.points.map((point) => ({ ...point, point, number })));
  library().then((Plot) => {
    const fit = () => {
      const width = place.clientWidth;
      if (!width || chart.plot?.width === width) return;
      if (chart.plot) chart.plot.setSize({ width, height: HEIGHT });
      else {
        chart.plot = new Plot(settings(width), aligned(points), place);
        place.append(tip);
        hover();
      }
    };
    new ResizeObserver(fit).observe(place);
    new MutationObserver(() => retheme()).observe(document.documentElement, { attributeFilter: ["data-theme"] });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", retheme);
  }, (error) => place.append(error.message));

  function settings(width) {
    const axis = (title, values, size, space) => ({ label: title, labelSize: 22, size, space, font: "12px system-ui", labelFont: "12px system-ui",
      stroke: () => colour("soft"), grid: { stroke: () => colour("grid"), width: 1 }, ticks: { show: false },
      values: (_, splits) => splits.map(values) });
    const levels = [...points.flatMap(({ y, low, high }) => [y, low, high]), across?.y, fromZero ? 0 : undefined].filter((one) => one != null);
    const limits = padded(Math.min(...levels), Math.max(...levels), fromZero);
    const places = points.map(({ x }) => x);
    const sides = padded(Math.min(...places), Math.max(...places), false);
    return {
      width, height: HEIGHT, legend: { show: false },
      scales: { x: { time: false, range: (_, low, high, key) => (chart.zoomed ? [low, high] : sides) }, y: { range: () => limits } },
      axes: [axis(xTitle, xText, 34, X_APART_PX), axis(yTitle, yText, 62, Y_APART_PX)],
      series: [{}, { show: true, paths: () => null, points: { show: false } }],
      cursor: { points: { show: false }, y: false, drag: { x: true, y: false, dist: 12 } },
      hooks: { draw: [paint], setSelect: [() => { chart.zoomed = true; }] },
    };
  }

  function paint(plot) {
    const pen = plot.ctx;
    const ratio = devicePixelRatio;
    pen.save();
    pen.beginPath();
    pen.rect(plot.bbox.left, plot.bbox.top, plot.bbox.width, plot.bbox.height);
    pen.clip();
    pen.lineWidth = 1.5 * ratio;
    if (across) level(plot, pen, ratio);
    const at = ({ x, y }) => [plot.valToPos(x, "x", true), plot.valToPos(y, "y", true)];
    series.forEach((one, number) => {
      pen.strokeStyle = pen.fillStyle = colour(`c${number % SHAPES.length}`);
      if (one.line) connect(pen, one, at);
    });
    for (const point of points) mark(plot, pen, ratio, point, at(point));
    pen.restore();
  }

  function level(plot, pen, ratio) {
    const y = plot.valToPos(across.y, "y", true);
    pen.strokeStyle = pen.fillStyle = colour("ink");
    pen.setLineDash([6 * ratio, 4 * ratio]);
    pen.beginPath();
    pen.moveTo(plot.bbox.left, y);
    pen.lineTo(plot.bbox.left + plot.bbox.width, y);
    pen.stroke();
    pen.setLineDash([]);
    pen.font = `${12 * ratio}px system-ui`;
    pen.textAlign = across.end ? "right" : "left";
    const edge = across.end ? plot.bbox.left + plot.bbox.width - 6 * ratio : plot.bbox.left + 6 * ratio;
    const room = y - plot.bbox.top > 20 * ratio; // above the line, or else below it
    pen.textBaseline = room ? "bottom" : "top";
    pen.fillText(across.text, edge, y + (room ? -4 : 5) * ratio);
  }

  function connect(pen, one, at) {
    pen.beginPath();
    one.points.forEach((point, number) => {
      const [x, y] = at(point);
      if (one.line === "steps" && number) pen.lineTo(at(one.points[number - 1])[0], y); // what lies between costs as much as the next
      if (number) pen.lineTo(x, y);
      else pen.moveTo(x, y);
    });
    pen.stroke();
  }

  function mark(plot, pen, ratio, point, [x, y]) {
    pen.strokeStyle = pen.fillStyle = colour(`c${point.number % SHAPES.length}`);
    if (point.low != null && point.high != null) {
      pen.globalAlpha = 0.55;
      pen.beginPath();
      pen.moveTo(x, plot.valToPos(point.low, "y", true));
      pen.lineTo(x, plot.valToPos(point.high, "y", true));
      pen.stroke();
      pen.globalAlpha = 1;
    }
    const path = new Path2D();
    SHAPES[point.number % SHAPES.length](path, x, y, 4.2 * ratio);
    if (point.hollow) pen.stroke(path);
    else pen.fill(path);
    if (point.point !== chart.chosen) return;
    pen.strokeStyle = colour("ink");
    pen.beginPath();
    pen.arc(x, y, 9 * ratio, 0, 2 * Math.PI);
    pen.stroke();
  }

  function hover() {
    const over = chart.plot.over;
    const nearest = (event) => {
      const box = over.getBoundingClientRect();
      const [left, top] = [event.clientX - box.left, event.clientY - box.top];
      let best = null;
      for (const point of points) {
        const [x, y] = [chart.plot.valToPos(point.x, "x"), chart.plot.valToPos(point.y, "y")];
        const far = Math.hypot(x - left, y - top);
        if (far < (best?.far ?? NEAR_PX)) best = { point, far, x, y };
      }
      return best;
    };
    over.addEventListener("mousemove", (event) => {
      const found = nearest(event);
      tip.hidden = !found;
      if (!found) return;
      tip.textContent = found.point.text;
      const x = Math.min(found.x + over.offsetLeft + 12, place.clientWidth - tip.offsetWidth - 2);
      tip.style.transform = `translate(${Math.max(0, x)}px, ${Math.max(0, found.y + over.offsetTop - tip.offsetHeight - 8)}px)`;
    });
    over.addEventListener("mouseleave", () => { tip.hidden = true; });
    over.addEventListener("dblclick", () => { chart.zoomed = false; chart.plot.setData(chart.plot.data); });
    over.addEventListener("click", (event) => {
      const found = nearest(event);
      if (found && onchoose) onchoose(found.point.point);
    });
  }

  function retheme() {
    if (place.isConnected) chart.plot?.redraw(false, true);
  }

  return { element: place, choose: (point) => { chart.chosen = point; redraw(); } };
}

/** Limits with a little room, so that no point sits on the edge. */
function padded(low, high, zero) {
  const room = (high - low || Math.abs(high) || 1) * 0.06;
  return [zero ? 0 : low - room, high + room];
}

/** What uPlot needs: rising x, and some y for each. */
function aligned(points) {
  const sorted = [...points].sort((a, b) => a.x - b.x);
  return [sorted.map(({ x }) => x), sorted.map(({ y }) => y)];
}

/** What marks mean, as a list. */
export function legend(labels) {
  return make("ul", { class: "key" }, labels.map((text, number) => {
    const canvas = make("canvas", { width: 28, height: 28, "aria-hidden": "true" });
    canvas.style.width = canvas.style.height = "14px";
    canvas.style.verticalAlign = "-2px";
    requestAnimationFrame(() => {
      const pen = canvas.getContext("2d");
      pen.fillStyle = colour(`c${number % SHAPES.length}`);
      const path = new Path2D();
      SHAPES[number % SHAPES.length](path, 14, 14, 9);
      pen.fill(path);
    });
    return make("li", {}, canvas, " ", text);
  }));
}
