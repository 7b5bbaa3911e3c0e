// The plane of eta and V. Belongs here: all sources in it, the thresholds, the variable sources.
// Doesn't: flagging; the document records the flags.

import { el } from "../elements.js";
import { chart } from "../charts/chart.js";
import { box, dots, line, shapes } from "../charts/marks.js";
import { keep } from "../keeping.js";
import { loadDocument } from "../loading.js";
import { counted, digits, percent, plain, position, range } from "../numbers.js";
import { table } from "../tables.js";
import { dayText } from "../times.js";

export const title = "Variables";
export const needs = ["sources", "variables"];

/** Classes of S/N, with the upper limit of each. */
const CLASSES = [[10, "sn-0", "S/N below 10"], [30, "sn-1", "10 to 30"], [100, "sn-2", "30 to 100"], [Infinity, "sn-3", "above 100"]];
const kindOf = (snr) => CLASSES.find(([end]) => (snr ?? 0) < end)[1];

export const curveOf = (sourceId) => `#/lightcurves/${encodeURIComponent(sourceId)}`;

const COLUMNS = [
  { name: "Source", of: (v) => v.source_id, show: (v) => el("a", { class: "id", href: curveOf(v.source_id) }, v.source_id) },
  { name: "η", of: (v) => v.eta, show: (v) => digits(v.eta), number: true },
  { name: "V", of: (v) => v.v, show: (v) => digits(v.v), number: true },
  { name: "Mean flux density (mJy)", of: (v) => v.mean_flux_mjy, show: (v) => digits(v.mean_flux_mjy), number: true },
  { name: "Modulation index", of: (v) => v.modulation_index, show: (v) => digits(v.modulation_index), number: true },
  { name: "p-value (steady source)", of: (v) => v.p_value, show: (v) => digits(v.p_value, 2), number: true },
  { name: "Pair V_s", of: (v) => v.pair_vs, show: (v) => digits(v.pair_vs), number: true },
  { name: "Pair m", of: (v) => v.pair_m, show: (v) => digits(v.pair_m), number: true },
  { name: "Epochs of pair", of: (v) => v.pair_first_mjd, show: (v) => (v.pair_first_mjd === null ? "–" : `${dayText(v.pair_first_mjd)} and ${dayText(v.pair_second_mjd)}`) },
  { name: "Epochs", of: (v) => v.n_epochs, number: true },
  { name: "RA, Dec (ICRS)", of: (v) => v.ra_deg, show: (v) => position(v.ra_deg, v.dec_deg) },
];

const PATTERNS = [
  { name: "Depends on", of: (p) => p.cause, show: (p) => ({ place: "place in the mosaic", year: "day of the year", day: "time of day" })[p.cause] ?? p.cause },
  { name: "Amplitude", of: (p) => p.amplitude, show: (p) => percent(p.amplitude, 2), number: true },
  { name: "Error", of: (p) => p.error, show: (p) => percent(p.error, 2), number: true },
  { name: "Significance (σ)", of: (p) => p.sigma, show: (p) => digits(p.sigma), number: true },
  { name: "Removed before the search", of: (p) => (p.is_removed ? "yes" : "no") },
];

/** The two thresholds, and those at the lowest and the highest S/N. */
function thresholdsOf(data) {
  const all = data.threshold_snr.map((snr, i) => ({ snr, eta: data.threshold_eta[i], v: data.threshold_v[i] })).sort((a, b) => a.snr - b.snr);
  return { all, ends: all.length > 1 ? [all[0], all.at(-1)] : all };
}

/** The plane; a drawn rectangle shows its part, with a table of the sources in it. */
function plane(sources, data) {
  const seen = keep("plane", { x1: null, x2: null, y1: null, y2: null });
  const place = el("div");
  const within = (s) => seen.x1 !== null && s.x >= seen.x1 && s.x <= seen.x2 && s.y >= seen.y1 && s.y <= seen.y2;
  const whole = el("button", { type: "button", id: "plane-whole", click: () => brushed([null, null], [null, null]) }, "Show the whole plane");
  function brushed([x1, x2], [y1, y2]) {
    Object.assign(seen, { x1, x2, y1, y2 });
    draw();
  }
  function draw() {
    const { element, measured, columns } = drawnPlane(sources, data, seen, brushed);
    const rows = measured.filter(within);
    const part = seen.x1 === null ? [] : [el("p", {}, whole), table({ id: "plane-part", caption: `${counted(rows.length, "sources")} in the part of the plane that is shown`, columns, rows, sort: "-η" })];
    place.replaceChildren(element, ...part);
  }
  draw();
  return place;
}

function drawnPlane(sources, data, seen, brushed) {
  const measured = [];
  sources.source_id.forEach((id, i) => {
    const [x, y, snr] = [sources.eta[i], sources.v[i], sources.median_snr[i]];
    if (x > 0 && y > 0) measured.push({ id, x, y, snr, variable: sources.is_variable[i] });
  });
  if (!measured.length) return { element: el("p", { class: "message" }, "No source has enough epochs for η and V yet."), measured, columns: [] };
  const { all, ends } = thresholdsOf(data);
  const chosen = measured.filter((s) => s.variable);
  const says = (s) => `${s.id}: η ${digits(s.x)}, V ${digits(s.y)}, S/N ${digits(s.snr)}${s.variable ? "; variable" : ""}. `;
  // The keys select the variable sources first, which are of most interest.
  const points = [...chosen.sort((a, b) => b.x - a.x), ...measured.filter((s) => !s.variable).sort((a, b) => b.x - a.x)].map((s) => ({ ...s, says: says(s), open: curveOf(s.id), highlighted: s.variable }));
  const xs = seen.x1 !== null ? [seen.x1, seen.x2] : range([...measured.map((s) => s.x), ...all.map((t) => t.eta)], { log: true });
  const ys = seen.y1 !== null ? [seen.y1, seen.y2] : range([...measured.map((s) => s.y), ...all.map((t) => t.v)], { log: true });
  const corner = (t) => [{ x: t.eta, y: ys[1] }, { x: t.eta, y: t.v }, { x: xs[1], y: t.v }];
  const told = ends.map((t) => `η above ${digits(t.eta)} and V above ${digits(t.v)} at S/N ${plain(t.snr)}`).join(", ");
  const columns = [{ name: "Source", of: (s) => s.id, show: (s) => el("a", { href: curveOf(s.id), class: "id" }, s.id) }, { name: "η", of: (s) => s.x, show: (s) => digits(s.x), number: true }, { name: "V", of: (s) => s.y, show: (s) => digits(s.y), number: true }, { name: "S/N", of: (s) => s.snr, show: (s) => digits(s.snr), number: true }, { name: "Variable", of: (s) => (s.variable ? "yes" : "no") }];
  const element = chart({
    id: "plane",
    title: "η and V of all sources",
    gist: `${counted(measured.length, "sources")}, ${chosen.length} flagged as variable${told ? `: ${told}` : ""}.`,
    height: 420,
    x: { kind: "log", label: "η (reduced χ² about the weighted mean)", domain: xs },
    y: { kind: "log", label: "V (standard deviation over mean)", domain: ys },
    draw(plot) {
      if (ends.length > 1) {
        box(plot, ends.map((t) => t.eta), [Math.min(...all.map((t) => t.v)), null], "band");
        box(plot, [Math.min(...all.map((t) => t.eta)), null], ends.map((t) => t.v), "band");
      }
      for (const [, kind] of CLASSES) dots(plot, measured.filter((s) => kindOf(s.snr) === kind), kind, measured.length > 4000 ? 3 : 4);
      for (const t of ends) line(plot, corner(t), `threshold ${kindOf(t.snr)}`);
      shapes(plot, chosen, "ring", "chosen", 6);
    },
    points,
    legend: [
      ...CLASSES.map(([, kind, text]) => [kind, "dots", text]),
      ["chosen", "ring", "flagged as variable"],
      ...ends.map((t) => [`threshold ${kindOf(t.snr)}`, "line", `thresholds at S/N ${plain(t.snr)}`]),
      ...(ends.length > 1 ? [["band", "box", "thresholds between these S/N"]] : []),
    ],
    columns,
    rows: measured,
    brushed,
  });
  return { element, measured, columns };
}

export async function show(index) {
  const [sources, data] = await Promise.all([loadDocument(index, "sources"), loadDocument(index, "variables")]);
  const heading = el("h1", { tabindex: -1 }, title);
  if (!sources) return [heading, el("p", { class: "message" }, "The export has no sources yet.")];
  const selection = data ?? { threshold_snr: [], threshold_eta: [], threshold_v: [], variables: [] };
  const facts = [
    data?.day_mjd ? `Up to the end of ${dayText(data.day_mjd)} (MJD ${data.day_mjd})` : null,
    data?.n_references ? counted(data.n_references, "reference sources") : null,
    data?.systematic_floor !== null && data ? `systematic error floor ${percent(data.systematic_floor)} of the flux density` : null,
    data?.eta_sigma ? `flagged as variable from ${data.eta_sigma} σ in log η and ${data.v_sigma} σ in log V above the population at their S/N` : null,
  ].filter(Boolean);
  return [
    heading,
    facts.length ? el("p", { class: "lead" }, `${facts.join("; ")}.`) : null,
    plane(sources, selection),
    el("h2", {}, "Variable sources"),
    table({ id: "variables", caption: "Sources flagged as variable", columns: COLUMNS, rows: selection.variables, sort: "-η", none: "No source is flagged as variable." }),
    el("h2", {}, "Annual and daily patterns"),
    el("p", { class: "dim" }, "Patterns that the flux references share, measured after each epoch's flux scale."),
    table({ id: "patterns", caption: "Patterns of the flux references", columns: PATTERNS, rows: data?.systematics ?? [], none: "Not measured: too few reference sources or epochs." }),
  ].filter(Boolean);
}
