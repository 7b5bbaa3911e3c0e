// Calibration timeline. Belongs here: caltable sets, their windows, the gaps between them.
// Doesn't: the contents of a table.

import { el } from "../elements.js";
import { chart } from "../charts/chart.js";
import { box, shapes } from "../charts/marks.js";
import { isLive } from "../live.js";
import { loadDocument } from "../loading.js";
import { counted, degrees, percent } from "../numbers.js";
import { setLink } from "../pages.js";
import { spanControl } from "../span.js";
import { table } from "../tables.js";
import { lengthText, utcText } from "../times.js";

export const title = "Calibration";
export const needs = ["calibration"];

/** Sets whose declinations differ by less belong to one strip. */
const STRIP_DEG = 0.5;
const MOST_LANES = 4;
const LANE_PX = 18;

const state = (word) => el("span", { class: `state ${word}` }, word);

const SETS = [
  { name: "Set", of: (s) => s.name, show: (s) => (isLive ? setLink(s.name, s.version) : el("span", { class: "id" }, `${s.name} v${s.version}`)) },
  { name: "Status", of: (s) => s.status, show: (s) => state(s.status) },
  { name: "Reason", of: (s) => s.reason, show: (s) => el("span", { class: "prose" }, s.reason) },
  { name: "Calibrator", of: (s) => s.calibrator },
  { name: "Observed (UTC)", of: (s) => s.mid_mjd, show: (s) => utcText(s.mid_mjd) },
  { name: "Valid from", of: (s) => s.start_mjd, show: (s) => utcText(s.start_mjd) },
  { name: "Valid until", of: (s) => s.end_mjd, show: (s) => utcText(s.end_mjd) },
  { name: "Strip", of: (s) => s.dec_deg, show: (s) => degrees(s.dec_deg), number: true },
  { name: "Reference antenna", of: (s) => s.refant },
  { name: "Tables", of: (s) => s.tables.join(" ") },
  { name: "Flagged", of: (s) => s.flag_fraction, show: (s) => percent(s.flag_fraction), number: true },
];

const GAPS = [
  { name: "From (UTC)", of: (g) => g.start_mjd, show: (g) => utcText(g.start_mjd) },
  { name: "To (UTC)", of: (g) => g.end_mjd, show: (g) => utcText(g.end_mjd) },
  { name: "Length", of: (g) => g.end_mjd - g.start_mjd, show: (g) => lengthText(g.end_mjd - g.start_mjd), number: true },
  { name: "Observations", of: (g) => g.n_observations, number: true },
];

/** Assign rows of the chart: the sets of one strip in as few lanes as their windows allow. */
function lanesOf(sets) {
  const strips = [];
  for (const set of [...sets].sort((a, b) => (a.dec_deg ?? 99) - (b.dec_deg ?? 99))) {
    const last = strips.at(-1);
    const near = last && (set.dec_deg === null ? last.dec === null : last.dec !== null && Math.abs(set.dec_deg - last.dec) < STRIP_DEG);
    if (near) last.sets.push(set);
    else strips.push({ dec: set.dec_deg, sets: [set] });
  }
  let row = 0;
  const placed = [];
  const ticks = [];
  for (const strip of strips) {
    const ends = [];
    for (const set of strip.sets.sort((a, b) => a.start_mjd - b.start_mjd)) {
      let lane = ends.findIndex((end) => end <= set.start_mjd);
      if (lane < 0) lane = ends.length < MOST_LANES ? ends.length : ends.indexOf(Math.min(...ends));
      ends[lane] = set.end_mjd;
      placed.push({ set, row: row + lane });
    }
    ticks.push({ value: row + (ends.length - 1) / 2, text: strip.dec === null ? "any" : degrees(strip.dec) });
    row += ends.length + 0.6;
  }
  return { placed, ticks, rows: Math.max(1, row - 0.6) };
}

export async function show(index, argument) {
  if (argument && isLive) return (await import("./caltableset.js")).page(index, argument);
  const data = await loadDocument(index, "calibration");
  const heading = el("h1", { tabindex: -1 }, title);
  if (!data?.sets.length) return [heading, el("p", { class: "message" }, "The export has no caltable sets yet.")];
  const { sets, gaps } = data;
  const first = Math.min(...sets.map((s) => s.start_mjd));
  const last = Math.max(...sets.map((s) => s.end_mjd));
  const place = el("div");
  const span = spanControl({ id: "calibration-span", first, last, initial: last - first > 90 ? "90" : "all", changed: draw });

  function draw() {
    const [start, end] = span.span();
    const inside = (part) => part.end_mjd >= start && part.start_mjd <= end;
    const seen = sets.filter(inside);
    const shown = gaps.filter(inside);
    const { placed, ticks, rows } = lanesOf(seen);
    const points = placed
      .map(({ set, row }) => ({ x: Math.min(end, Math.max(start, set.mid_mjd)), y: row, says: `${set.name} v${set.version}, ${set.status}${set.reason ? ` (${set.reason})` : ""}: ${set.calibrator} at ${utcText(set.mid_mjd)} UTC, valid from ${utcText(set.start_mjd)} to ${utcText(set.end_mjd)}. `, open: isLive ? `#/calibration/${encodeURIComponent(`${set.name}/${set.version}`)}` : null }))
      .sort((a, b) => a.x - b.x);
    const of = (status) => placed.filter(({ set }) => set.status === status);
    const observed = sets.length && shown.reduce((sum, g) => sum + g.n_observations, 0);
    place.replaceChildren(
      chart({
        id: "calibration",
        title: "Windows of the caltable sets by strip",
        gist: `${counted(seen.length, "sets")}: ${["active", "retired", "failed"].map((s) => `${of(s).length} ${s}`).join(", ")}; ${shown.length ? `${counted(shown.length, "gaps")} with ${counted(observed, "observations")} without a valid set` : "no gaps"}.`,
        height: 86 + rows * LANE_PX,
        x: { kind: "time", label: "UTC date, and MJD", domain: [start, end] },
        y: { kind: "linear", label: "", domain: [rows - 0.3, -0.7], ticks },
        draw(plot) {
          for (const gap of shown) box(plot, [gap.start_mjd, gap.end_mjd], [null, null], "gap");
          for (const { set, row } of placed) box(plot, [set.start_mjd, set.end_mjd], [row - 0.36, row + 0.36], set.status, { rx: 3 });
          const at = ({ set, row }) => ({ x: set.mid_mjd, y: row });
          shapes(plot, of("active").map(at), "bar", "observed", 6);
          shapes(plot, of("retired").map(at), "bar", "dimmed", 6);
          shapes(plot, of("failed").map(at), "cross", "bad", 4);
        },
        points,
        legend: [["active", "box", "active"], ["retired", "box", "retired"], ["failed", "box", "failed"], ["observed", "bar", "observation of the calibrator"], ["gap", "box", "observations without a valid set"]],
        columns: SETS.slice(0, 8),
        rows: seen,
        zoomed: span.zoom,
      }),
    );
  }
  draw();
  return [
    heading,
    span.element,
    place,
    el("h2", {}, "Gaps"),
    table({ id: "gaps", caption: "Gaps: observations without a valid caltable set", columns: GAPS, rows: gaps, sort: "-From (UTC)", none: "None: every observation has a valid set." }),
    el("h2", {}, "Sets"),
    table({ id: "sets", caption: "Caltable sets", columns: SETS, rows: sets, sort: "-Observed (UTC)" }),
  ];
}
