// The address says which view is shown and what is chosen in it, so every view can be linked to.

/** The parts of the path, decoded, and the choices. */
export function here() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  return { parts: path.split("/").filter(Boolean).map(decodeURIComponent), query: new URLSearchParams(query) };
}

/** An address of a view; choices without a value are left out. */
export function link(parts, choices = {}) {
  const query = new URLSearchParams(Object.entries(choices).filter(([, value]) => value !== "" && value != null));
  const text = query.toString();
  return `#/${parts.map(encodeURIComponent).join("/")}${text ? `?${text}` : ""}`;
}

/** Note choices in the address of the present view without going anywhere. */
export function note(choices) {
  const { parts, query } = here();
  history.replaceState(null, "", link(parts, { ...Object.fromEntries(query), ...choices }));
}

export const go = (parts, choices) => { location.hash = link(parts, choices); };
