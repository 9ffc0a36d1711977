// What was chosen for measuring and searching: device, pictures, threads. Kept on this machine.

const KEY = "rankwise.choices";

function all() {
  try {
    return JSON.parse(localStorage.getItem(KEY)) ?? {};
  } catch {
    return {};
  }
}

export const chosen = (name) => all()[name] ?? "";
export const choose = (changes) => localStorage.setItem(KEY, JSON.stringify({ ...all(), ...changes }));

/** Threads and batch are part of the policy, so later steps take the profile's. */
export function policy() {
  const { threads, batch } = all();
  return { ...(threads ? { threads } : {}), ...(batch ? { batch } : {}) };
}

/** What searching needs to know of pictures. */
export function pictures(calibrations) {
  const one = calibrations.find(({ id }) => id === chosen("calibration"));
  if (!one) return {};
  return one.kind === "pictures" ? { calibration: one.id, preprocess: chosen("preprocess") || "imagenet" } : { calibration: one.id };
}
