// Antennas over days. Belongs here: the grid of antennas and observations, times in which antennas are
// bad, marks by persons, the evidence of the last observation. Doesn't: solutions of a caltable set.

import { el } from "../elements.js";
import { chart } from "../charts/chart.js";
import { dots, shapes } from "../charts/marks.js";
import { record as recordOf } from "../live.js";
import { counted, fixed, percent, range } from "../numbers.js";
import { observationLink } from "../pages.js";
import { table } from "../tables.js";
import { utcText } from "../times.js";

export const title = "Antennas";
export const needs = [];

const HEALTHY = "no fault";
const UNKNOWN = "not examined";
const ROW_PX = 9;
/** Names beside the grid are at least this many rows apart. */
const EVERY = 2;

const byName = (a, b) => a.localeCompare(b, "en", { numeric: true });

function stateOf(observation, antenna) {
  if (antenna in observation.faults) return observation.faults[antenna];
  return observation.unexamined.includes(antenna) ? UNKNOWN : HEALTHY;
}

function grid(names, observations) {
  const cells = observations.flatMap((o) => names.map((antenna, y) => ({ x: o.mid_mjd, y, antenna, key: o.key, mjd: o.mid_mjd, state: stateOf(o, antenna), out: o.left_out[antenna] ?? "" })));
  const points = cells.map((c) => ({ ...c, says: `Antenna ${c.antenna}, ${c.key}, ${utcText(c.mjd)} UTC: ${c.state}${c.out ? "; left out" : ""}. `, open: `#/observations/${encodeURIComponent(c.key)}` }));
  const faulty = points.filter((c) => c.state !== HEALTHY && c.state !== UNKNOWN);
  return chart({
    id: "antenna-grid",
    title: "Health of each antenna in each observation",
    gist: `${counted(names.length, "antennas")} in ${counted(observations.length, "observations")}; ${faulty.length ? `at fault: ${[...new Set(faulty.map((c) => c.antenna))].join(", ")}` : "none at fault"}.`,
    height: Math.max(200, ROW_PX * names.length + 80),
    x: { kind: "time", label: "UTC date, and MJD", domain: range(observations.map((o) => o.mid_mjd)) },
    y: { kind: "linear", label: "Antenna", domain: [names.length - 0.3, -0.7], ticks: names.flatMap((text, value) => (value % EVERY ? [] : [{ value, text }])) },
    draw(plot) {
      dots(plot, points.filter((c) => c.state === HEALTHY), "main", 4);
      dots(plot, points.filter((c) => c.state === UNKNOWN), "other", 3);
      dots(plot, faulty, "bad", 7);
      shapes(plot, points.filter((c) => c.out), "ring", "chosen", 5);
    },
    points,
    legend: [["main", "dots", HEALTHY], ["other", "dots", UNKNOWN], ["bad", "dots", "at fault"], ["chosen", "ring", "left out of the image"]],
    columns: [
      { name: "Antenna", of: (c) => c.antenna },
      { name: "Observation", of: (c) => c.key, show: (c) => observationLink(c.key) },
      { name: "Fault", of: (c) => c.state },
      { name: "Left out", of: (c) => c.out },
    ],
    rows: points.filter((c) => c.out || c.state !== HEALTHY),
  });
}

const SPELLS = [
  { name: "Antenna", of: (s) => s.antenna },
  { name: "State", of: (s) => (s.end_mjd === null ? "bad" : "recovered"), show: (s) => el("span", { class: `state ${s.end_mjd === null ? "failed" : "complete"}` }, s.end_mjd === null ? "bad" : "recovered") },
  { name: "From (UTC)", of: (s) => s.start_mjd, show: (s) => utcText(s.start_mjd) },
  { name: "To (UTC)", of: (s) => s.end_mjd, show: (s) => (s.end_mjd === null ? "–" : utcText(s.end_mjd)) },
  { name: "Observations", of: (s) => s.n_faulty, number: true },
  { name: "Why", of: (s) => s.fault },
  { name: "Named after", of: (s) => s.named_key, show: (s) => observationLink(s.named_key) },
];

const MARKS = [
  { name: "Antenna", of: (m) => m.antenna },
  { name: "Mark", of: (m) => m.mark },
  { name: "From (UTC)", of: (m) => m.from_mjd, show: (m) => utcText(m.from_mjd) },
  { name: "By", of: (m) => m.by },
  { name: "Note", of: (m) => m.note, show: (m) => el("span", { class: "prose" }, m.note) },
];

const LAST = [
  { name: "Antenna", of: (r) => r.antenna },
  { name: "Fault", of: (r) => r.fault ?? "", show: (r) => (r.fault ? el("span", { class: "state failed" }, r.fault) : "") },
  { name: "Data", of: (r) => r.data, show: (r) => percent(r.data, 0), number: true },
  { name: "Gain", of: (r) => r.gain, show: (r) => fixed(r.gain, 2), number: true },
  { name: "Coherence", of: (r) => r.coherence, show: (r) => fixed(r.coherence, 2), number: true },
  { name: "Agrees with the field", of: (r) => r.kept, show: (r) => percent(r.kept, 0), number: true },
  { name: "Delay (ns)", of: (r) => r.delay_ns, show: (r) => fixed(r.delay_ns, 1), number: true },
];

export async function show(index, key) {
  const found = await recordOf(key ? `antennas/${encodeURIComponent(key)}` : "antennas");
  const { observations, bad, spells, marks, last } = found;
  const named = new Set([...Object.keys(last), ...observations.flatMap((o) => Object.keys(o.faults))]);
  const names = [...named].sort(byName);
  const after = observations.at(-1);
  return [
    el("h1", { tabindex: -1 }, title),
    observations.length
      ? el("p", { class: "lead", id: "antennas-bad" }, `Bad: ${Object.keys(bad).length} of ${counted(names.length, "antennas")}, after `, observationLink(after.key), `, by the observations of ${fixed(found.days, 0)} days.`)
      : el("p", { class: "message" }, "No observation of these days has examined the antennas: in-field calibration needs a reference catalogue."),
    el("ul", {}, Object.entries(bad).map(([antenna, why]) => el("li", {}, el("strong", {}, `Antenna ${antenna}: `), why))),
    observations.length ? grid(names, observations) : null,
    spells.length ? table({ id: "antenna-spells", caption: "Times in which antennas are bad", columns: SPELLS, rows: spells, sort: "-From (UTC)" }) : null,
    marks.length ? table({ id: "antenna-marks", caption: "Marks by persons (contimg antennas mark)", columns: MARKS, rows: marks, sort: "-From (UTC)" }) : null,
    names.length ? table({ id: "antenna-evidence", caption: `Evidence of ${after.key}`, columns: LAST, rows: Object.entries(last).map(([antenna, one]) => ({ antenna, ...one })), sort: "-Fault" }) : null,
  ].filter(Boolean);
}
