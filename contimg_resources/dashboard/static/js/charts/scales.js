// Scales and ticks. Belongs here: values to pixels, positions and labels of ticks. Doesn't:
// drawing them.

import { digits } from "../numbers.js";
import { clockText, dateOf, dayText, mjdOf } from "../times.js";

const MINUTE = 1 / 1440;
const STEPS_DAYS = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720].map((m) => m * MINUTE).concat([1, 2, 4, 7, 14]);
const STEPS_MONTHS = [1, 2, 3, 6, 12, 24, 60, 120];
const MONTH_DAYS = 30.44;

/** Return a function from values to pixels between two ends; `invert` is its inverse. */
export function scaleOf({ kind, domain }, start, end) {
  const log = kind === "log";
  const [lo, hi] = log ? domain.map(Math.log10) : domain;
  const length = (end - start) / (hi - lo || 1);
  const scale = (value) => start + ((log ? Math.log10(value) : value) - lo) * length;
  scale.invert = (pixel) => (log ? 10 ** (lo + (pixel - start) / length) : lo + (pixel - start) / length);
  return scale;
}

function linearTicks(lo, hi, most) {
  const rough = (hi - lo) / Math.max(1, most);
  const size = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * size).find((s) => s >= rough * 0.999) ?? 10 * size;
  const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const ticks = [];
  for (let i = Math.ceil(lo / step - 1e-9); i * step <= hi + step * 1e-9; i++) {
    ticks.push({ value: i * step, text: (i * step).toFixed(Math.min(decimals, 12)).replace("-", "−").replace(/^−(0\.?0*)$/, "$1") });
  }
  return ticks;
}

function logTicks(lo, hi, most) {
  const decades = Math.log10(hi / lo);
  const every = Math.max(1, Math.ceil(decades / Math.max(1, most)));
  const within = decades * 3 <= most ? [1, 2, 5] : decades * 2 <= most ? [1, 3] : [1];
  const ticks = [];
  for (let power = Math.floor(Math.log10(lo)); power <= Math.ceil(Math.log10(hi)); power++) {
    if (power % every) continue;
    for (const m of within) {
      const value = m * 10 ** power;
      if (value >= lo * 0.9999 && value <= hi * 1.0001) ticks.push({ value, text: digits(value, 1) });
    }
  }
  return ticks.length > 1 ? ticks : linearTicks(lo, hi, most);
}

function timeTicks(lo, hi, most) {
  const rough = (hi - lo) / Math.max(1, most);
  const days = STEPS_DAYS.find((step) => step >= rough);
  const ticks = [];
  const mjdText = (mjd) => `${Math.round(mjd * 100) / 100}`;
  if (days !== undefined) {
    for (let i = Math.ceil(lo / days - 1e-6); i * days <= hi; i++) {
      const value = i * days;
      const midnight = Math.abs(value - Math.round(value)) < 1e-6;
      ticks.push({ value, text: midnight ? dayText(value + 1e-6) : clockText(value), below: mjdText(value) });
    }
    return ticks;
  }
  const months = STEPS_MONTHS.find((step) => step * MONTH_DAYS >= rough) ?? STEPS_MONTHS.at(-1);
  const begin = dateOf(lo);
  for (let month = Math.ceil((begin.getUTCFullYear() * 12 + begin.getUTCMonth()) / months) * months; ; month += months) {
    const value = mjdOf(Date.UTC(Math.floor(month / 12), month % 12, 1));
    if (value > hi) return ticks;
    if (value >= lo) ticks.push({ value, text: dayText(value), below: mjdText(value) });
  }
}

/** Return ticks {value, text, below?} of an axis, approximately at most the given number. */
export function ticksOf({ kind, domain }, most) {
  const [lo, hi] = domain[0] < domain[1] ? domain : [domain[1], domain[0]];
  if (!(hi > lo)) return [];
  return { log: logTicks, time: timeTicks }[kind]?.(lo, hi, most) ?? linearTicks(lo, hi, most);
}
