// Display of numbers. Belongs here: digits, errors, positions. Doesn't: times.

const NONE = "–";
const missing = (value) => value === null || value === undefined || !Number.isFinite(value);

/** Format with fixed decimals; a dash if missing. */
export const fixed = (value, decimals = 2) => (missing(value) ? NONE : value.toFixed(decimals).replace(/^-(?=[0.]*$)/, "").replace("-", "−"));

/** Format with significant digits, without an exponent as long as that is readable. */
export function digits(value, significant = 3) {
  if (missing(value)) return NONE;
  if (value === 0) return "0";
  const size = Math.floor(Math.log10(Math.abs(value)));
  if (size < -4 || size > 6) return value.toExponential(significant - 1).replace("e+", "e").replaceAll("-", "−");
  return fixed(value, Math.max(0, significant - 1 - size));
}

/** Format with at most three significant digits: 6, not 6.00. */
export const plain = (value) => (missing(value) ? NONE : String(Number(value.toPrecision(3))));

/** Format with its error, which has two digits. */
export function withError(value, error, unit = "") {
  if (missing(value)) return NONE;
  if (missing(error) || error <= 0) return digits(value) + unit;
  const decimals = Math.min(6, Math.max(0, 1 - Math.floor(Math.log10(error))));
  return `${fixed(value, decimals)} ± ${fixed(error, decimals)}${unit}`;
}

/** "1,234 images", with the singular for one. */
export function counted(n, many, one = many.replace(/s$/, "")) {
  return `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
}

/** Format a fraction as percent. */
export const percent = (value, decimals = 1) => (missing(value) ? NONE : `${fixed(100 * value, decimals)} %`);

function sexagesimal(value, width, decimals, turn = Infinity) {
  const unit = 10 ** decimals;
  const whole = Math.round(value * 3600 * unit) % (turn * 3600 * unit);
  const seconds = ((whole / unit) % 60).toFixed(decimals).padStart(decimals ? 3 + decimals : 2, "0");
  const minutes = String(Math.floor(whole / unit / 60) % 60).padStart(2, "0");
  return `${String(Math.floor(whole / unit / 3600)).padStart(width, "0")}:${minutes}:${seconds}`;
}

/** "07:31:12.4 +33:12:05", ICRS. */
export function position(raDeg, decDeg) {
  if (missing(raDeg) || missing(decDeg)) return NONE;
  return `${sexagesimal((((raDeg % 360) + 360) % 360) / 15, 2, 1, 24)} ${decDeg < 0 ? "−" : "+"}${sexagesimal(Math.abs(decDeg), 2, 0)}`;
}

/** "+33.2°". */
export const degrees = (value, decimals = 1) => (missing(value) ? NONE : `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(decimals)}°`);

/** Median of the existing values; null if there are none. */
export function median(values) {
  const sorted = values.filter((v) => !missing(v)).sort((a, b) => a - b);
  if (!sorted.length) return null;
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

/** Smallest and largest existing value, with a margin; `otherwise` if there are none. */
export function range(values, { margin = 0.04, log = false, otherwise = [0, 1] } = {}) {
  let lo = Infinity;
  let hi = -Infinity;
  for (const value of values) {
    if (missing(value) || (log && value <= 0)) continue;
    if (value < lo) lo = value;
    if (value > hi) hi = value;
  }
  if (lo > hi) return otherwise;
  if (log) {
    const room = Math.max((hi / lo) ** margin, 1.05);
    return [lo / room, hi * room];
  }
  const room = (hi - lo) * margin || Math.abs(hi) * 0.1 || 1;
  return [lo - room, hi + room];
}
