// Image quality over time. Belongs here: one quality measure of the images at a time, with its
// expectation. Doesn't: the checks of an image, which run when it is made.

import { choice, el } from "../elements.js";
import { chart } from "../charts/chart.js";
import { dots, rule } from "../charts/marks.js";
import { keep } from "../keeping.js";
import { loadDocument } from "../loading.js";
import { counted, digits, median, range } from "../numbers.js";
import { spanControl } from "../span.js";
import { utcText } from "../times.js";

export const title = "Image quality";
export const needs = ["image_quality"];

const column = (name) => (d, i) => d[name][i];

/** Name, unit, values, a second value for comparison, and the ideal value. */
const MEASURES = {
  rms: { name: "rms", unit: " mJy", of: column("rms_mjy"), beside: ["expected", column("expected_rms_mjy")], log: true },
  ratio: { name: "rms over expected rms", unit: "", of: (d, i) => (d.rms_mjy[i] !== null && d.expected_rms_mjy[i] > 0 ? d.rms_mjy[i] / d.expected_rms_mjy[i] : null), ideal: 1, log: true },
  dynamic_range: { name: "Dynamic range", unit: "", of: column("dynamic_range"), log: true },
  flux_ratio: { name: "Flux ratio to the catalogue", unit: "", of: column("flux_ratio"), ideal: 1 },
  beam: { name: "Beam, major axis", unit: "″", of: column("bmaj_arcsec"), beside: ["minor axis", column("bmin_arcsec")] },
  offset: { name: "Position offset", unit: "″", of: column("offset_arcsec") },
  n_sources: { name: "Sources found", unit: "", of: column("n_sources") },
  flags: { name: "Flagged data", unit: " %", of: (d, i) => (d.flag_fraction[i] === null ? null : 100 * d.flag_fraction[i]) },
};

export async function show(index) {
  const data = await loadDocument(index, "image_quality");
  const heading = el("h1", { tabindex: -1 }, title);
  if (!data?.mid_mjd.length) return [heading, el("p", { class: "message" }, "The export has no images yet.")];
  const chosen = keep("quality", { measure: "rms" });
  const place = el("div");
  const span = spanControl({ id: "quality-span", first: data.mid_mjd[0], last: data.mid_mjd.at(-1), changed: draw });
  const select = choice("quality-measure", "Measure", Object.entries(MEASURES).map(([key, m]) => [key, m.name]), chosen.measure, (value) => { chosen.measure = value; draw(); });

  function draw() {
    const measure = MEASURES[chosen.measure];
    const [start, end] = span.span();
    const rows = [];
    data.mid_mjd.forEach((mjd, i) => {
      if (mjd < start || mjd > end) return;
      const y = measure.of(data, i);
      if (y !== null) rows.push({ x: mjd, y, also: measure.beside?.[1](data, i) ?? null, key: data.key[i] });
    });
    const [value, unit] = [(v) => `${digits(v)}${unit}`, measure.unit];
    const label = unit.trim() ? `${measure.name} (${unit.trim()})` : measure.name;
    const middle = median(rows.map((r) => r.y));
    const points = rows.map((r) => ({ ...r, says: `${r.key}, ${utcText(r.x)} UTC: ${measure.name.toLowerCase().replace("beam, ", "")} ${value(r.y)}${r.also === null ? "" : `, ${measure.beside[0]} ${value(r.also)}`}. ` }));
    const yRange = range([...rows.flatMap((r) => [r.y, r.also]), measure.ideal ?? null], { log: measure.log });
    const also = measure.beside && { name: `${measure.beside[0]}${unit}`, of: (r) => r.also, show: (r) => digits(r.also), number: true };
    place.replaceChildren(
      chart({
        id: "quality",
        title: measure.name,
        gist: rows.length ? `${counted(rows.length, "images")} from ${utcText(rows[0].x)} to ${utcText(rows.at(-1).x)} UTC; median ${value(middle)}, from ${value(Math.min(...rows.map((r) => r.y)))} to ${value(Math.max(...rows.map((r) => r.y)))}.` : "No image in this span has this measure.",
        x: { kind: "time", label: "UTC date, and MJD", domain: range([Math.max(start, data.mid_mjd[0]), Math.min(end, data.mid_mjd.at(-1))], { margin: 0.02 }) },
        y: { kind: measure.log ? "log" : "linear", label, domain: yRange },
        draw(plot) {
          if (measure.ideal) rule(plot, { y: measure.ideal }, "ideal");
          dots(plot, rows, "main", rows.length > 1500 ? 3 : 4.5);
          // Drawn over the other values, which would hide them.
          dots(plot, rows.filter((r) => r.also !== null).map((r) => ({ x: r.x, y: r.also })), "other", 3);
        },
        points,
        legend: [["main", "dots", measure.name], measure.beside && ["other", "dots", measure.beside[0]], measure.ideal && ["ideal", "line", "ideal value"]].filter(Boolean),
        columns: [{ name: "Image", of: (r) => r.key }, { name: "Mid-time (UTC)", of: (r) => r.x, show: (r) => utcText(r.x) }, { name: label, of: (r) => r.y, show: (r) => digits(r.y), number: true }, also].filter(Boolean),
        rows,
        zoomed: span.zoom,
      }),
    );
  }
  draw();
  return [heading, el("div", { class: "controls" }, select), span.element, place];
}
