// A long table of which only the rows in sight are in the document.

import { make } from "./dom.js";

const ROW_PX = 33; // 32 and the border
const MORE = 12; // rows above and below those in sight

/**
 * `columns`: {key, title, class, cell(row) -> text, order(row) -> number or text, badge: whether the
 * text is a verdict}. The first heads its row. `sorted` is told when a heading was used.
 */
export function longTable({ label, columns, sort, sorted }) {
  const body = make("tbody");
  const head = make("tr");
  const table = make("table", { "aria-label": label }, make("thead", {}, head), body);
  const scroller = make("div", { class: "scroller rows", tabindex: 0, role: "region", "aria-label": label }, table);
  const [above, below] = [spacer(), spacer()];
  const slots = []; // rows of the document, used again and again
  let rows = [];
  let shown = [-1, -1];
  let waiting = false;

  for (const column of columns) head.append(heading(column));
  body.append(above.row, below.row);
  scroller.addEventListener("scroll", () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; fill(); });
  }, { passive: true });
  new ResizeObserver(() => fill()).observe(scroller);

  function spacer() {
    const cell = make("td", { colspan: columns.length });
    return { cell, row: make("tr", { class: "spacer", "aria-hidden": "true" }, cell) };
  }

  function heading(column) {
    const turn = () => {
      const falling = sort.by === column.key ? !sort.falling : true;
      Object.assign(sort, { by: column.key, falling });
      sorted();
    };
    const button = column.order ? make("button", { type: "button", onclick: turn }, column.title) : column.title;
    return make("th", { scope: "col", class: column.class ?? null, "data-key": column.key }, button);
  }

  function mark() {
    for (const one of head.children) {
      const mine = one.dataset.key === sort.by;
      if (mine) one.setAttribute("aria-sort", sort.falling ? "descending" : "ascending");
      else one.removeAttribute("aria-sort");
      const button = one.querySelector("button");
      const title = columns.find(({ key }) => key === one.dataset.key).title;
      if (button) button.textContent = mine ? `${title} ${sort.falling ? "\u25BE" : "\u25B4"}` : title;
    }
  }

  function slot(number) {
    while (slots.length <= number) {
      const row = make("tr", {}, columns.map((column, at) => make(at ? "td" : "th", { class: column.class ?? null, scope: at ? null : "row" })));
      slots.push(row);
    }
    return slots[number];
  }

  function fill(force = false) {
    const top = Math.floor(scroller.scrollTop / ROW_PX);
    const bottom = Math.min(rows.length, Math.ceil((scroller.scrollTop + (scroller.clientHeight || 700)) / ROW_PX));
    if (!force && top >= shown[0] && bottom <= shown[1]) return;
    const first = Math.max(0, top - MORE);
    const last = Math.min(rows.length, bottom + MORE);
    const count = last - first;
    shown = [first, last];
    for (let at = 0; at < count; at += 1) write(slot(at), rows[first + at], first + at);
    const needed = slots.slice(0, count);
    if (needed.some((row) => !row.isConnected) || body.children.length !== count + 2) {
      for (const row of slots.slice(count)) row.remove();
      below.row.before(...needed);
    }
    above.cell.style.height = `${first * ROW_PX}px`;
    below.cell.style.height = `${(rows.length - last) * ROW_PX}px`;
  }

  function write(line, row, place) {
    line.setAttribute("aria-rowindex", place + 2);
    columns.forEach((column, at) => {
      const cell = line.children[at];
      const value = column.cell(row) ?? "";
      if (column.badge) showBadge(cell, value);
      else if (cell.firstChild?.nodeType === Node.TEXT_NODE) { if (cell.firstChild.data !== value) cell.firstChild.data = value; }
      else cell.textContent = value;
      if (column.hint) cell.title = column.hint(row);
    });
  }

  return {
    element: scroller,
    /** Show these rows, in the order that was chosen. */
    show(all) {
      rows = ordered(all, columns.find(({ key }) => key === sort.by), sort.falling);
      table.setAttribute("aria-rowcount", rows.length + 1);
      mark();
      scroller.scrollTop = 0;
      fill(true);
    },
  };
}

/** A verdict as a coloured word; "-" where there is none. */
function showBadge(cell, value) {
  const badge = cell.firstChild ?? cell.appendChild(make("span"));
  if (badge.textContent === value) return;
  badge.textContent = value;
  badge.className = value === "-" ? "" : `verdict ${value}`;
}

function ordered(rows, column, falling) {
  if (!column?.order) return rows;
  const sign = falling ? -1 : 1;
  const keyed = rows.map((row) => [column.order(row), row]);
  keyed.sort(([a], [b]) => {
    if (a == null || b == null) return (a == null) - (b == null); // what is not known comes last
    return sign * (typeof a === "string" ? a.localeCompare(b, undefined, { numeric: true }) : a - b);
  });
  return keyed.map(([, row]) => row);
}
