// Small helpers around the document.

export const $ = (id) => document.getElementById(id);

/** An element; children are nodes or text, never markup. */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/**
 * Pictures come from the service as markup in which every text is escaped. What is there already
 * is left alone, and whoever is in the picture by keyboard stays where they were.
 */
export function show(element, markup) {
  const drawn = make("template");
  drawn.innerHTML = markup;
  if (drawn.innerHTML === element.innerHTML) return;
  const active = document.activeElement;
  const name = element.contains(active) ? JSON.stringify(active.dataset) : "";
  const scrolled = [...element.querySelectorAll(".wide")].map((one) => one.scrollLeft);
  element.replaceChildren(drawn.content);
  element.querySelectorAll(".wide").forEach((one, at) => { one.scrollLeft = scrolled[at] ?? 0; });
  if (!name) return;
  const again = [...element.querySelectorAll(active.localName)].find((one) => JSON.stringify(one.dataset) === name);
  again?.focus({ preventScroll: true });
}

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

export function options(select, entries, chosen) {
  select.replaceChildren(...entries.map(([value, text]) => make("option", { value }, text)));
  if (entries.some(([value]) => value === chosen)) select.value = chosen;
}

/** What a form holds: numbers as numbers, empty fields left out. */
export function values(form) {
  const found = {};
  for (const input of form.elements) {
    if (!input.name || input.value === "" || input.type === "file") continue;
    found[input.name] = input.type === "number" ? Number(input.value) : input.value;
  }
  return found;
}
