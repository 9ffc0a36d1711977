// Small helpers around the document.

export const $ = (id) => document.getElementById(id);

const SVG = "http://www.w3.org/2000/svg";

function filled(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** An element; children are nodes, text, or lists of them, never markup. */
export const make = (name, attributes = {}, ...children) => filled(document.createElement(name), attributes, children);

/** An element of a drawing. */
export const draw = (name, attributes = {}, ...children) => filled(document.createElementNS(SVG, name), attributes, children);

let timer = 0;

/** One sentence for the user, read aloud too. */
export function say(text) {
  const place = $("say");
  place.textContent = text;
  place.hidden = !text;
  clearTimeout(timer);
  timer = setTimeout(() => { place.hidden = true; }, 9000);
}

/** Run what may fail; the reason is shown. */
export async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    say(error.message);
    return undefined;
  }
}

/** Drawing anew takes nobody's place at the keyboard. */
export function keepingFocus(place, fill) {
  return () => {
    const active = place.contains(document.activeElement) ? document.activeElement.dataset.does : null;
    fill();
    if (active && document.activeElement?.dataset.does !== active) place.querySelector(`[data-does="${active}"]`)?.focus();
  };
}

/** Fill a list to choose from; entries are (value, text). */
export function options(select, entries, chosen) {
  select.replaceChildren(...entries.map(([value, text]) => make("option", { value }, text)));
  if (entries.some(([value]) => value === chosen)) select.value = chosen;
  return select;
}

/** A list to choose from with its label. */
export function choice(label, entries, chosen, onchange, attributes = {}) {
  const select = options(make("select", { onchange: () => onchange(select.value), ...attributes }), entries, chosen);
  return make("label", { class: attributes.class ?? null }, label, " ", select);
}

/** What a form holds: numbers as numbers, empty fields left out. */
export function values(form) {
  const found = {};
  for (const input of form.elements) {
    if (!input.name || input.value === "" || input.type === "file") continue;
    if (input.type === "checkbox") found[input.name] = input.checked;
    else found[input.name] = input.type === "number" ? Number(input.value) : input.value;
  }
  return found;
}

/** Facts as a list of terms; pairs whose value is empty are left out. */
export function facts(pairs) {
  const shown = pairs.filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return make("dl", { class: "facts" }, shown.map(([term, value, more]) => make("div", {},
    make("dt", {}, term), make("dd", {}, value, more ? make("small", {}, ` ${more}`) : null))));
}

/** A table; columns are (title, class), a row is a list of cells, the first of which heads it. */
export function table(label, columns, rows, attributes = {}) {
  const head = columns.map(([title, kind]) => make("th", { scope: "col", class: kind ?? null }, title));
  const body = rows.map((cells) => make("tr", {}, cells.map((cell, at) => (at
    ? make("td", { class: columns[at][1] ?? null }, cell) : make("th", { scope: "row", class: columns[at][1] ?? null }, cell)))));
  return make("div", { class: "wide", tabindex: 0, role: "region", "aria-label": label },
    make("table", { class: "list", ...attributes }, make("thead", {}, make("tr", {}, head)), make("tbody", {}, body)));
}
