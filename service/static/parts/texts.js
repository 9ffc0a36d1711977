// Numbers, shapes and decompositions as short texts.

/** A latency with three digits in the unit that suits it. */
export function duration(seconds) {
  if (seconds == null) return "";
  if (seconds === 0) return "0";
  const size = Math.abs(seconds);
  const [unit, one] = size >= 1 ? ["s", 1] : size >= 1e-3 ? ["ms", 1e-3] : ["\u00b5s", 1e-6];
  return `${Number((seconds / one).toPrecision(3))} ${unit}`;
}

export const fixed = (value, digits = 2) => (value == null ? "" : value.toFixed(digits));
export const percent = (share) => (share == null ? "" : `${(share * 100).toFixed(share < 0.0995 ? 1 : 0)} %`);
export const times = (value) => (value == null ? "" : `${value.toFixed(2)}\u00d7`);
export const mebibytes = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

export function interval(value) {
  return value.speedup == null ? "" : `${times(value.speedup)} [${fixed(value.speedup_low)}, ${fixed(value.speedup_high)}]`;
}

/** A large count with its unit, such as 1.2 G. */
export function count(value) {
  for (const [unit, size] of [["G", 1e9], ["M", 1e6], ["k", 1e3]]) if (value >= size) return `${Number((value / size).toPrecision(3))} ${unit}`;
  return String(value);
}

/** A layer's kernel and channels, such as 3x3 64->128. */
export function shape(spec) {
  if (!spec) return "";
  const kernel = spec.op === "linear" ? "" : `${spec.kernel_size.join("\u00d7")} `;
  return `${kernel}${spec.in_channels}\u2192${spec.out_channels}`;
}

export const decomposition = ({ kind, ranks = [], groups = 1, precision }) => (kind === "original" ? "original"
  : `${kind} ${ranks.join("\u00d7")}${groups > 1 ? ` /${groups}` : ""}`) + (precision ? ` in ${precision}` : "");

/**
 * Which device and policy each setting is, in words: the backend, and what the others do not have alike (all of
 * it where there is one setting).
 */
export function settings(all) {
  const parts = all.map(({ device, policy }) => [device.backend, policy.phase, `batch ${policy.batch}`,
    policy.threads ? `${policy.threads} thread${policy.threads === 1 ? "" : "s"}` : "", policy.context,
    `hardware ${device.hardware_key.slice(0, 6)}`, `software ${device.software_key.slice(0, 6)}`]);
  const differs = parts[0]?.map((_, at) => new Set(parts.map((one) => one[at])).size > 1);
  const shown = (at) => at === 0 || (all.length > 1 ? differs[at] : at < HARDWARE);
  return parts.map((one) => one.filter((part, at) => part && shown(at)).join(", "));
}

const HARDWARE = 5; // the place of the parts that are keys and no words

/** When, in the reader's own time. */
export function when(text) {
  if (!text) return "";
  return new Date(text).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

/** How long something still takes, in round words. */
export function left(seconds) {
  if (seconds == null) return "";
  if (seconds < 5) return "a few seconds left";
  if (seconds < 90) return `about ${Math.round(seconds / 5) * 5} s left`;
  if (seconds < 5400) return `about ${Math.round(seconds / 60)} min left`;
  return `about ${(seconds / 3600).toFixed(1)} h left`;
}

/** What a plan was asked to keep. */
export const objective = (asked) => (asked.max_error != null ? `network error up to ${asked.max_error}`
  : asked.target_speedup != null ? `speedup from ${asked.target_speedup}` : "");
