// What is chosen; kept in the address, so that a reload or a link shows the same.

const chosen = new URLSearchParams(location.search);
const listeners = [];

export const state = {
  get: (name) => chosen.get(name) ?? "",
  set(name, value) {
    if (state.get(name) === value) return;
    if (value) chosen.set(name, value);
    else chosen.delete(name);
    history.replaceState(null, "", `?${chosen}${location.hash}`);
    for (const listener of listeners) listener(name);
  },
  /** Told the name of whatever is chosen anew. */
  listen: (listener) => listeners.push(listener),
};

/** Everything the page has read, by kind. */
export const known = { devices: [], networks: [], calibrations: [], plans: [] };

export const network = () => known.networks.find((one) => one.id === state.get("network"));
