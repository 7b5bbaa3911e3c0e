// The chart of a light curve. Belongs here: measurements with errors, flagged measurements, fitted
// templates. Doesn't: choosing the source.

import { flagWords } from "../flags.js";
import { counted, digits, median, range, withError } from "../numbers.js";
import { utcText } from "../times.js";
import { chart } from "./chart.js";
import { box, dots, errorBars, line, shapes } from "./marks.js";

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

/** Make the chart of a light curve within [start, end], MJD, with the templates of candidates. */
export function lightCurve({ id, title, curve, candidates, start, end, zoomed, height = 340 }) {
  const rows = pointsOf(curve).filter((p) => p.x >= start && p.x <= end);
  const measured = rows.filter((p) => p.y !== null);
  const [plain, flagged] = [measured.filter((p) => !p.flags), measured.filter((p) => p.flags)];
  const fitted = candidates.filter((c) => c.template_mjd.length);
  const templates = fitted.map((c) => c.template_mjd.map((x, i) => ({ x, y: c.template_mjy[i] })));
  const seen = templates.flat().filter((p) => p.x >= start && p.x <= end);
  const dips = candidates.map((c) => `candidate ${c.id} from ${utcText(c.start_mjd)} to ${utcText(c.end_mjd)}`);
  return chart({
    id,
    title,
    gist: `${counted(measured.length, "measurements")}, ${flagged.length} of them flagged; median ${digits(median(measured.map((p) => p.y)))} mJy${dips.length ? `; ${dips.join(", ")}` : ""}.`,
    height,
    x: { kind: "time", label: "UTC date, and MJD", domain: range([start, end], { margin: 0.02 }) },
    y: { kind: "linear", label: "Flux density (mJy)", domain: range([...measured.flatMap((p) => [p.y - (p.error ?? 0), p.y + (p.error ?? 0)]), ...seen.map((p) => p.y)], { margin: 0.06 }) },
    draw(plot) {
      for (const c of candidates) box(plot, [c.start_mjd, c.end_mjd], [null, null], "dip");
      errorBars(plot, plain, "main");
      errorBars(plot, flagged, "bad");
      dots(plot, plain, "main", measured.length > 600 ? 3.5 : 5);
      shapes(plot, flagged, "cross", "bad", 3.5);
      for (const template of templates) line(plot, template, "template");
    },
    points: measured.map((p) => ({ ...p, says: `${utcText(p.x)} UTC (MJD ${p.x.toFixed(3)}): ${withError(p.y, p.error, " mJy")}${p.flags ? `; ${flagWords(p.flags)}` : ""}${wide(p)}. ` })),
    legend: [["main", "dots", "measured"], flagged.length && ["bad", "cross", "flagged"], fitted.length && ["template", "line", "fitted template"], candidates.length && ["dip", "box", "candidate, between half depths"]].filter(Boolean),
    columns: rows.some((p) => p.integrated !== null) ? [...COLUMNS.slice(0, -1), ...INTEGRATED, COLUMNS.at(-1)] : COLUMNS,
    rows,
    zoomed,
  });
}
