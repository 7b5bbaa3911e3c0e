// The chart of a light curve. Belongs here: measurements with errors, flagged measurements, fitted
// templates. Doesn't: choosing the source.

import { flagWords } from "../flags.js";
import { counted, digits, median, range, withError } from "../numbers.js";
import { utcText } from "../times.js";
import { chart } from "./chart.js";
import { box, dots, errorBars, line, rule, shapes } from "./marks.js";

const COLUMNS = [
  { name: "Mid-time (UTC)", of: (r) => r.x, show: (r) => utcText(r.x) },
  { name: "MJD", of: (r) => r.x, show: (r) => r.x.toFixed(4), number: true },
  { name: "Flux density (mJy)", of: (r) => r.y, show: (r) => digits(r.y, 4), number: true },
  { name: "Error (mJy)", of: (r) => r.error, show: (r) => digits(r.error, 2), number: true },
  { name: "Flags", of: (r) => flagWords(r.flags) },
];

/** Additional columns of a source wider than the beam. */
const INTEGRATED = [
  { name: "Integrated (mJy)", of: (r) => r.integrated, show: (r) => digits(r.integrated, 4), number: true },
  { name: "Error of integrated (mJy)", of: (r) => r.integratedError, show: (r) => digits(r.integratedError, 2), number: true },
];

/** Measurements of a light curve as a list. */
export const pointsOf = (curve) => curve.mid_mjd.map((x, i) => ({ x, y: curve.flux_mjy[i], error: curve.error_mjy[i], flags: curve.flags[i], integrated: curve.integrated_mjy?.[i] ?? null, integratedError: curve.integrated_error_mjy?.[i] ?? null }));

const wide = (p) => (p.integrated === null ? "" : `; integrated ${withError(p.integrated, p.integratedError, " mJy")}`);

/** Name an epoch with failed checks, whose measurements are not in the light curve. */
const badSays = (m) => `${utcText(m.mid_mjd)} UTC: mosaic ${m.key} failed the checks of its epoch; nothing of it is in the light curve. `;

/**
 * Make the chart of a light curve within [start, end], MJD, with the templates of candidates and the
 * mosaics `bad` whose epochs failed their checks; flux densities on a logarithmic scale if `log`.
 */
export function lightCurve({ id, title, curve, candidates, start, end, zoomed, bad = [], log = false, height = 340 }) {
  const rows = pointsOf(curve).filter((p) => p.x >= start && p.x <= end);
  const measured = rows.filter((p) => p.y !== null && (!log || p.y > 0));
  const hidden = log ? rows.filter((p) => p.y !== null && p.y <= 0).length : 0;
  const failed = bad.filter((m) => m.mid_mjd >= start && m.mid_mjd <= end);
  // Below zero a logarithmic axis ends.
  const lowest = log ? 0.1 * Math.min(...measured.map((p) => p.y)) : -Infinity;
  const low = (p) => Math.max(lowest, p.y - (p.error ?? 0));
  const [plain, flagged] = [measured.filter((p) => !p.flags), measured.filter((p) => p.flags)];
  const fitted = candidates.filter((c) => c.template_mjd.length);
  const templates = fitted.map((c) => c.template_mjd.map((x, i) => ({ x, y: c.template_mjy[i] })));
  const seen = templates.flat().filter((p) => p.x >= start && p.x <= end);
  const dips = candidates.map((c) => `candidate ${c.id} from ${utcText(c.start_mjd)} to ${utcText(c.end_mjd)}`);
  return chart({
    id,
    title,
    gist: `${counted(measured.length, "measurements")}, ${flagged.length} of them flagged; median ${digits(median(measured.map((p) => p.y)))} mJy${hidden ? `; ${hidden} not above zero and not drawn` : ""}${failed.length ? `; ${counted(failed.length, "epochs")} with failed checks left out` : ""}${dips.length ? `; ${dips.join(", ")}` : ""}.`,
    height,
    x: { kind: "time", label: "UTC date, and MJD", domain: range([start, end], { margin: 0.02 }) },
    y: { kind: log ? "log" : "linear", label: "Flux density (mJy)", domain: range([...measured.flatMap((p) => [low(p), p.y + (p.error ?? 0)]), ...seen.map((p) => p.y)], { margin: 0.06, log }) },
    draw(plot) {
      for (const c of candidates) box(plot, [c.start_mjd, c.end_mjd], [null, null], "dip");
      for (const m of failed) rule(plot, { x: m.mid_mjd }, "bad");
      errorBars(plot, plain, "main");
      errorBars(plot, flagged, "bad");
      dots(plot, plain, "main", measured.length > 600 ? 3.5 : 5);
      shapes(plot, flagged, "cross", "bad", 3.5);
      for (const template of templates) line(plot, template, "template");
    },
    points: [...measured.map((p) => ({ ...p, says: `${utcText(p.x)} UTC (MJD ${p.x.toFixed(3)}): ${withError(p.y, p.error, " mJy")}${p.flags ? `; ${flagWords(p.flags)}` : ""}${wide(p)}. ` })), ...failed.map((m) => ({ x: m.mid_mjd, y: median(measured.map((p) => p.y)) ?? 1, says: badSays(m), open: `#/mosaics/${encodeURIComponent(m.key)}` }))].sort((a, b) => a.x - b.x),
    legend: [["main", "dots", "measured"], flagged.length && ["bad", "cross", "flagged"], failed.length && ["bad", "line", "epoch with failed checks, left out"], fitted.length && ["template", "line", "fitted template"], candidates.length && ["dip", "box", "candidate: between half depths, or since its appearance"]].filter(Boolean),
    columns: rows.some((p) => p.integrated !== null) ? [...COLUMNS.slice(0, -1), ...INTEGRATED, COLUMNS.at(-1)] : COLUMNS,
    rows,
    zoomed,
  });
}

/** Make the chart of a light curve folded with a period in days; phase 0 is at the MJD `zero`. */
export function foldedCurve({ id, title, curve, period, zero, log = false }) {
  const rows = pointsOf(curve).filter((p) => p.y !== null && (!log || p.y > 0));
  const phased = rows.map((p) => ({ ...p, mjd: p.x, x: (((p.x - zero) / period) % 1 + 1) % 1 }));
  // Twice, so that what happens around phase 0 is seen as a whole.
  const both = [...phased, ...phased.map((p) => ({ ...p, x: p.x + 1 }))];
  const [plain, flagged] = [both.filter((p) => !p.flags), both.filter((p) => p.flags)];
  const lowest = log ? 0.1 * Math.min(...rows.map((p) => p.y)) : -Infinity;
  return chart({
    id,
    title,
    gist: `${counted(rows.length, "measurements")} folded with ${digits(period, 6)} days from MJD ${zero.toFixed(3)}, drawn twice.`,
    height: 300,
    x: { kind: "linear", label: "Phase", domain: [0, 2] },
    y: { kind: log ? "log" : "linear", label: "Flux density (mJy)", domain: range(rows.flatMap((p) => [Math.max(lowest, p.y - (p.error ?? 0)), p.y + (p.error ?? 0)]), { margin: 0.06, log }) },
    draw(plot) {
      errorBars(plot, plain, "main");
      errorBars(plot, flagged, "bad");
      dots(plot, plain, "main", rows.length > 600 ? 3.5 : 5);
      shapes(plot, flagged, "cross", "bad", 3.5);
    },
    points: phased.sort((a, b) => a.x - b.x).map((p) => ({ ...p, says: `Phase ${p.x.toFixed(3)}, ${utcText(p.mjd)} UTC: ${withError(p.y, p.error, " mJy")}${p.flags ? `; ${flagWords(p.flags)}` : ""}. ` })),
    legend: [["main", "dots", "measured"], flagged.length && ["bad", "cross", "flagged"]].filter(Boolean),
    columns: [{ name: "Phase", of: (p) => p.x, show: (p) => p.x.toFixed(4), number: true }, ...COLUMNS.slice(1).map((c) => (c.name === "MJD" ? { ...c, of: (p) => p.mjd, show: (p) => p.mjd.toFixed(4) } : c))],
    rows: phased,
  });
}
