// One observation. Belongs here: its record, image, statistics, history, products. Doesn't: the table
// of all.

import { el } from "../elements.js";
import { imageViewer } from "../imageviewer.js";
import { layerAddress, observation, pixelValue } from "../live.js";
import { loadDocument } from "../loading.js";
import { digits, fixed, percent } from "../numbers.js";
import { utcText } from "../times.js";
import { curveOf } from "./variables.js";

const fact = (name, value) => el("div", {}, el("dt", {}, name), el("dd", {}, value));

function factsOf(r, s) {
  return el(
    "dl",
    { class: "facts" },
    fact("Mid-time", `${utcText(r.mid_mjd)} UTC, MJD ${fixed(r.mid_mjd, 5)}`),
    fact("Duration", `${fixed((r.end_mjd - r.start_mjd) * 1440, 1)} min`),
    fact("Calibrator", r.calibrator || "none"),
    ...(s
      ? [
          fact("rms", `${digits(s.rms_mjy)} mJy/beam${s.expected_rms_mjy ? `, ${fixed(s.rms_mjy / s.expected_rms_mjy, 2)} × the expected ${digits(s.expected_rms_mjy)}` : ""}`),
          fact("Peak, dynamic range", `${digits(s.peak_jy)} Jy/beam, ${digits(s.dynamic_range)}`),
          fact("Beam", `${digits(s.bmaj_arcsec)}″ × ${digits(s.bmin_arcsec)}″, ${fixed(s.bpa_deg, 0)}° east of north`),
          fact("Sources", `${s.n_sources ?? "–"}, ${s.n_matched ?? "–"} of them known`),
          fact("Flux density / catalogue", digits(s.flux_ratio)),
          fact("Offset from the catalogue", `${digits(s.offset_arcsec)}″`),
          fact("Flagged", percent(s.flag_fraction)),
        ]
      : []),
  );
}

/** Link to a page of Dagster's; only its text without an address. */
function inDagster(dagster, path, text) {
  const id = el("span", { class: "id" }, text);
  return dagster && /^https?:/.test(dagster) ? el("a", { href: `${dagster.replace(/[/]+$/, "")}/${path}`, rel: "noreferrer" }, id) : id;
}

const size = (bytes) => (bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);

/** Sources and candidates to draw over the image. */
async function placesOf(index) {
  const [sources, events] = await Promise.all(["sources", "candidates"].map((name) => loadDocument(index, name)));
  const found = (sources?.source_id ?? []).map((id, i) => ({ ra: sources.ra_deg[i], dec: sources.dec_deg[i], name: id, href: curveOf(id), kind: sources.is_variable[i] ? "variable" : "steady" }));
  const candidates = (events?.candidates ?? []).map((c) => ({ ra: c.ra_deg, dec: c.dec_deg, name: `candidate ${c.id}`, href: `#/candidates/${encodeURIComponent(c.id)}`, kind: "event" }));
  return [...found, ...candidates].filter((p) => p.ra !== null && p.dec !== null);
}

export async function page(index, key) {
  const { record, history, statistics, products, layers, dagster } = await observation(key);
  const withAddresses = layers.map((layer) => ({ ...layer, src: layerAddress(key, layer.kind, "webp") }));
  return [
    el("p", {}, el("a", { href: "#/observations" }, "All observations")),
    el("h1", { tabindex: -1 }, `Observation ${key}`),
    el("p", { class: "lead" }, el("span", { class: `state ${record.state}` }, record.state), record.reason ? ` ${record.reason}` : ""),
    factsOf(record, statistics),
    dagster ? el("p", { id: "in-dagster" }, "In Dagster: ", ["image_5min", "calibrated_ms", "image_photometry"].map((asset, i) => [i ? ", " : "", inDagster(dagster, `assets/${asset}?partition=${encodeURIComponent(key)}`, asset)])) : null,
    layers.length ? imageViewer({ id: "observed", layers: withAddresses, places: await placesOf(index), valueAt: (layer, x, y) => pixelValue(key, layer.kind, x, y) }) : el("p", { class: "message" }, "There is no image of this observation."),
    el("h2", {}, "History"),
    el("ol", { class: "marks" }, history.map((e) => el("li", {}, el("strong", {}, e.state), ` ${e.utc.slice(0, 19).replace("T", " ")} UTC, ${e.step}${e.message ? ": " : ""}`, e.message ? el("span", { class: "prose" }, e.message) : null, e.run_id ? el("p", { class: "dim" }, "run ", inDagster(dagster, `runs/${e.run_id}`, e.run_id)) : null))),
    el("h2", {}, "Products"),
    el("ul", { id: "products" }, products.map((p) => el("li", {}, layers.some((l) => l.kind === p.kind) ? el("a", { href: layerAddress(key, p.kind, "fits"), download: "" }, p.kind) : p.kind, ` ${size(p.size_bytes)} `, el("span", { class: "id" }, p.path)))),
    el("p", {}, "Delivered as ", el("span", { class: "id" }, record.path)),
  ].flat().filter(Boolean);
}
