// The measured primary beam beside the model. Belongs here: its cuts, its width over time, its shape by
// frequency. Doesn't: the restoring beam of an image.

import { el } from "../elements.js";
import { chart } from "../charts/chart.js";
import { dots, errorBars, line } from "../charts/marks.js";
import { record as recordOf } from "../live.js";
import { counted, fixed, percent, range, withError } from "../numbers.js";
import { observationLink } from "../pages.js";
import { table } from "../tables.js";
import { utcText } from "../times.js";

export const title = "Primary beam";
export const needs = [];

function cutsChart({ angle_deg: angles, model, east, north }) {
  const cuts = angles.map((x, i) => ({ x, model: model[i], east: east[i], north: north[i] }));
  const of = (name) => cuts.map((c) => ({ x: c.x, y: c[name] }));
  return chart({
    id: "beam-cuts",
    title: "Measured primary beam and model, along both axes",
    gist: "Power response relative to the centre of the beam; the model is the same along both axes.",
    x: { kind: "linear", label: "Angle from the pointing toward east or north, degrees", domain: [angles[0], angles.at(-1)] },
    y: { kind: "linear", label: "Power", domain: [0, 1.05] },
    draw(plot) {
      line(plot, of("model"), "other");
      line(plot, of("east"), "main");
      line(plot, of("north"), "chosen");
    },
    points: cuts.map((c) => ({ x: c.x, y: c.east, says: `${fixed(c.x, 1)} degrees: east ${fixed(c.east, 3)}, north ${fixed(c.north, 3)}, model ${fixed(c.model, 3)}. ` })),
    legend: [["other", "line", "model"], ["main", "line", "measured, toward east"], ["chosen", "line", "measured, toward north"]],
    columns: [
      { name: "Angle (deg)", of: (c) => c.x, show: (c) => fixed(c.x, 1), number: true },
      { name: "Model", of: (c) => c.model, show: (c) => fixed(c.model, 3), number: true },
      { name: "East", of: (c) => c.east, show: (c) => fixed(c.east, 3), number: true },
      { name: "North", of: (c) => c.north, show: (c) => fixed(c.north, 3), number: true },
    ],
    rows: cuts,
  });
}

function widthChart(observations, estimate) {
  const points = observations.map((o) => ({ ...o, x: o.mid_mjd, y: o.fit.shape.width, error: o.errors[0], says: `${o.key}, ${utcText(o.mid_mjd)} UTC: width ${fixed(o.fit.shape.width, 3)}, ${counted(o.fit.n_sources, "sources")}. `, open: `#/observations/${encodeURIComponent(o.key)}` }));
  const span = range(points.map((p) => p.x));
  return chart({
    id: "beam-width",
    title: "Width of the primary beam in each observation",
    gist: `${counted(points.length, "observations")}; together ${fixed(estimate.shape.width, 3)} of the model.`,
    x: { kind: "time", label: "UTC date, and MJD", domain: span },
    y: { kind: "linear", label: "Width over that of the model", domain: range([1, ...points.flatMap((p) => [p.y - p.error, p.y + p.error])]) },
    draw(plot) {
      line(plot, span.map((x) => ({ x, y: 1 })), "other");
      line(plot, span.map((x) => ({ x, y: estimate.shape.width })), "chosen");
      errorBars(plot, points, "main");
      dots(plot, points, "main", 5);
    },
    points,
    legend: [["other", "line", "model"], ["chosen", "line", "estimate"], ["main", "dots", "observation"]],
    columns: [
      { name: "Observation", of: (o) => o.key, show: (o) => observationLink(o.key) },
      { name: "Width", of: (o) => o.y, show: (o) => withError(o.y, o.error), number: true },
      { name: "Sources", of: (o) => o.fit.n_sources, number: true },
      { name: "Rejected", of: (o) => o.fit.n_rejected, number: true },
      { name: "Scatter", of: (o) => o.fit.scatter, show: (o) => percent(o.fit.scatter, 0), number: true },
      { name: "Corrected for", of: (o) => (o.is_corrected ? "measured beam" : "model") },
    ],
    rows: points,
  });
}

const shown = (name) => ({ of: (e) => e.shape[name], show: (e) => withError(e.shape[name], e.errors[name]), number: true });
const ESTIMATES = [
  { name: "Band", of: (e) => e.name },
  { name: "MHz", of: (e) => e.frequency_hz, show: (e) => fixed(e.frequency_hz / 1e6, 0), number: true },
  { name: "Width", ...shown("width") },
  { name: "East (deg)", ...shown("east_deg") },
  { name: "North (deg)", ...shown("north_deg") },
  { name: "Ellipticity", ...shown("ellipticity") },
  { name: "Observations", of: (e) => e.n_observations, number: true },
  { name: "Sources", of: (e) => e.n_sources, number: true },
];

export async function show() {
  const { telescope, days, words, is_significant: differs, is_used: used, estimates, observations, cuts } = await recordOf("primary-beam");
  if (!cuts) {
    return [
      el("h1", { tabindex: -1 }, title),
      el("p", { class: "message" }, "No observation has measured the primary beam: this needs a reference catalogue and at least 15 bright sources in an image."),
    ];
  }
  return [
    el("h1", { tabindex: -1 }, title),
    el("p", { class: "lead", id: "beam-words" }, `${telescope}, the last ${fixed(days, 0)} days: ${words}.`),
    differs ? el("p", { id: "beam-used" }, used ? "Images of the next UTC day are corrected for the measured beam." : "Images are corrected for the model: the setting primary_beam.use is off.") : null,
    cutsChart(cuts),
    widthChart(observations, estimates[0]),
    table({ id: "beam-estimates", caption: "Shape relative to the model", columns: ESTIMATES, rows: estimates, sort: "MHz" }),
  ].filter(Boolean);
}
