// Sky coverage. Belongs here: positions of observations, mosaics, sources and events. Doesn't: times.

import { choice, el } from "../elements.js";
import { chart } from "../charts/chart.js";
import { box, dots, shapes } from "../charts/marks.js";
import { keep } from "../keeping.js";
import { loadDocument } from "../loading.js";
import { counted, degrees, digits, position, range } from "../numbers.js";
import { utcText } from "../times.js";
import { curveOf } from "./variables.js";

export const title = "Sky";
export const needs = ["observations", "mosaics", "sources", "candidates"];

/** Right ascension that transits in a day. */
const DEG_PER_DAY = 360.9856;
/** About the width of the primary beam at 1.4 GHz; the documents don't record the size of an image. */
const BEAM_DEG = 3;
/** Width of the cells of right ascension in which observations are counted. */
const CELL_H = 0.25;
const MOST_SOURCES = 4000;
const STRIP_DEG = 0.5;

const LAYERS = [["observations", "Observations"], ["mosaics", "Mosaics"], ["sources", "Sources"], ["variables", "Variable sources"], ["candidates", "Candidates"]];

const hours = (raDeg) => (((raDeg % 360) + 360) % 360) / 15;

/** Count the observations in each cell, by strip. */
function coverage(observations) {
  const strips = new Map();
  for (const o of observations) {
    const dec = Math.round(o.dec_deg / STRIP_DEG) * STRIP_DEG;
    if (!strips.has(dec)) strips.set(dec, { n: 0, sum: 0, cells: new Array(24 / CELL_H).fill(0) });
    const strip = strips.get(dec);
    strip.n += 1;
    strip.sum += o.dec_deg;
    strip.cells[Math.min(strip.cells.length - 1, Math.floor(hours(o.ra_deg) / CELL_H))] += 1;
  }
  return [...strips.values()].map((s) => ({ dec: s.sum / s.n, n: s.n, cells: s.cells })).sort((a, b) => a.dec - b.dec);
}

/** Range of a mosaic in right ascension; in two parts if it extends over 0 h. */
function partsOf(mosaic) {
  const width = ((mosaic.end_mjd - mosaic.start_mjd) * DEG_PER_DAY) / 15;
  const middle = hours(mosaic.ra_deg);
  const [lo, hi] = [middle - width / 2, middle + width / 2];
  if (lo < 0) return [[0, hi], [lo + 24, 24]];
  return hi > 24 ? [[lo, 24], [0, hi - 24]] : [[lo, hi]];
}

/** Outlines of mosaics by strip, with overlapping ones merged. */
function outlines(mosaics) {
  const strips = new Map();
  for (const mosaic of mosaics) {
    const dec = Math.round(mosaic.dec_deg / STRIP_DEG) * STRIP_DEG;
    if (!strips.has(dec)) strips.set(dec, { dec: mosaic.dec_deg, parts: [] });
    strips.get(dec).parts.push(...partsOf(mosaic));
  }
  return [...strips.values()].flatMap(({ dec, parts }) => {
    const merged = [];
    for (const [lo, hi] of parts.sort((a, b) => a[0] - b[0])) {
      const last = merged.at(-1);
      if (last && lo <= last.span[1]) last.span[1] = Math.max(last.span[1], hi);
      else merged.push({ dec, span: [lo, hi] });
    }
    return merged;
  });
}

export async function show(index) {
  const [observed, mosaicked, measured, events] = await Promise.all(needs.map((name) => loadDocument(index, name)));
  const heading = el("h1", { tabindex: -1 }, title);
  const observations = observed?.observations ?? [];
  const mosaics = (mosaicked?.mosaics ?? []).filter((m) => m.ra_deg !== null);
  const candidates = (events?.candidates ?? []).filter((c) => c.ra_deg !== null);
  const sources = (measured?.source_id ?? []).map((id, i) => ({ id, x: hours(measured.ra_deg[i]), y: measured.dec_deg[i], variable: measured.is_variable[i], flux: measured.mean_flux_mjy[i] })).filter((s) => s.y !== null);
  if (!observations.length && !mosaics.length && !sources.length) return [heading, el("p", { class: "message" }, "The export has no observations yet.")];

  const strips = coverage(observations);
  const chosen = keep("sky", { strip: "data", ...Object.fromEntries(LAYERS.map(([key]) => [key, true])) });
  const place = el("div");
  const thin = Math.ceil(sources.length / MOST_SOURCES);

  function decRange() {
    if (chosen.strip === "sky") return [-50, 90];
    const strip = strips[Number(chosen.strip)];
    if (chosen.strip !== "data" && strip) return [strip.dec - BEAM_DEG, strip.dec + BEAM_DEG];
    const [lo, hi] = range([...strips.map((s) => s.dec), ...mosaics.map((m) => m.dec_deg), ...sources.map((s) => s.y)], { margin: 0 });
    return [lo - BEAM_DEG, hi + BEAM_DEG];
  }

  function draw() {
    const [lo, hi] = decRange();
    const inside = (p) => p.y >= lo && p.y <= hi;
    const variables = sources.filter((s) => s.variable && inside(s));
    const eventPoints = candidates.map((c) => ({ x: hours(c.ra_deg), y: c.dec_deg, says: `Candidate ${c.id}, ${c.state}, ${c.source_id}: ${position(c.ra_deg, c.dec_deg)}. `, open: `#/candidates/${encodeURIComponent(c.id)}`, highlighted: true })).filter(inside);
    const variablePoints = variables.map((s) => ({ ...s, says: `Variable ${s.id}, mean ${digits(s.flux)} mJy, ${position(s.x * 15, s.y)}. `, open: curveOf(s.id), highlighted: true }));
    const stripPoints = strips.flatMap((s) => s.cells.map((n, i) => ({ n, x: (i + 0.5) * CELL_H, y: s.dec, says: `Strip ${degrees(s.dec)}, RA ${(i * CELL_H).toFixed(2)} to ${((i + 1) * CELL_H).toFixed(2)} h: ${counted(n, "observations")}. ` }))).filter((c) => c.n && inside(c));
    const mosaicPoints = mosaics.map((m) => ({ x: hours(m.ra_deg), y: m.dec_deg, says: `Mosaic ${m.key}, ${utcText(m.mid_mjd)} UTC: ${counted(m.n_tiles, "tiles")}, rms ${digits(m.rms_mjy)} mJy. ` })).filter(inside);
    const drawn = sources.filter((s, i) => i % thin === 0 && inside(s)).map((s) => ({ ...s, says: `Source ${s.id}, mean ${digits(s.flux)} mJy, ${position(s.x * 15, s.y)}. `, open: curveOf(s.id) }));
    const most = Math.max(1, ...strips.flatMap((s) => s.cells));
    place.replaceChildren(
      chart({
        id: "sky",
        title: "Coverage in right ascension and declination",
        gist: `${counted(observations.length, "observations")} in ${counted(strips.length, "strips")} (${strips.map((s) => degrees(s.dec)).join(", ") || "none"}), ${counted(mosaics.length, "mosaics")}, ${counted(sources.length, "sources")}${thin > 1 ? ` (one in ${thin} drawn)` : ""}; ${variables.length} variable and ${counted(eventPoints.length, "candidates")} in view.`,
        height: 400,
        // As on the sky: east is to the left.
        x: { kind: "linear", label: "Right ascension (h), east to the left", domain: [24, 0] },
        y: { kind: "linear", label: "Declination (deg)", domain: [lo, hi] },
        draw(plot) {
          if (chosen.observations) {
            for (const strip of strips) strip.cells.forEach((n, i) => n && box(plot, [i * CELL_H, (i + 1) * CELL_H], [strip.dec - BEAM_DEG / 2, strip.dec + BEAM_DEG / 2], "covered", { "fill-opacity": (0.12 + (0.5 * n) / most).toFixed(2) }));
          }
          if (chosen.mosaics) for (const { dec, span } of outlines(mosaics)) box(plot, span, [dec - BEAM_DEG / 2, dec + BEAM_DEG / 2], "outline");
          if (chosen.sources) dots(plot, drawn, "faint", 2.5);
          if (chosen.variables) shapes(plot, variables, "diamond", "chosen", 5);
          if (chosen.candidates) shapes(plot, eventPoints, "ring", "event", 8);
        },
        points: [chosen.candidates && eventPoints, chosen.variables && variablePoints, chosen.observations && stripPoints, chosen.mosaics && mosaicPoints, chosen.sources && drawn].filter(Boolean).flat(),
        legend: [["covered", "box", "observed (brighter: more often)"], ["outline", "box", "in a mosaic"], ["faint", "dots", "sources"], ["chosen", "diamond", "variables"], ["event", "ring", "candidates"]].filter((_, i) => chosen[LAYERS[i][0]]),
        columns: [
          { name: "Strip", of: (c) => c.y, show: (c) => degrees(c.y), number: true },
          { name: "RA from (h)", of: (c) => c.x - CELL_H / 2, show: (c) => (c.x - CELL_H / 2).toFixed(2), number: true },
          { name: "RA to (h)", of: (c) => c.x + CELL_H / 2, show: (c) => (c.x + CELL_H / 2).toFixed(2), number: true },
          { name: "Observations", of: (c) => c.n, number: true },
        ],
        rows: stripPoints,
      }),
    );
  }
  draw();
  const boxes = LAYERS.map(([key, name]) => el("label", { class: "tick" }, el("input", { type: "checkbox", id: `layer-${key}`, checked: chosen[key], change: (event) => { chosen[key] = event.target.checked; draw(); } }), ` ${name}`));
  return [
    heading,
    el(
      "div",
      { class: "controls" },
      choice("sky-strip", "Declinations", [["data", "with data"], ["sky", "whole sky"], ...strips.map((s, i) => [String(i), `strip ${degrees(s.dec)}`])], chosen.strip, (value) => { chosen.strip = value; draw(); }),
      el("fieldset", {}, el("legend", {}, "Shown"), boxes),
    ),
    place,
    el("p", { class: "dim" }, `Strips and mosaics are drawn ${BEAM_DEG}° high, about one primary beam.`),
  ];
}
