// One observation. Belongs here: its record, image, statistics, history, products. Doesn't: the table
// of all.

import { el } from "../elements.js";
import { imageViewer } from "../imageviewer.js";
import { layerAddress, partAddress, pixelValue, record as recordOf } from "../live.js";
import { digits, fixed, percent } from "../numbers.js";
import { fact, inDagster, listed, mosaicLink, partitions, placesOf, setLink, sizeText } from "../pages.js";
import { utcText } from "../times.js";

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

function antennasOf(key, { n_antennas: n, faults, left_out: out }) {
  const faulty = Object.keys(faults);
  const link = el("a", { href: `#/antennas/${encodeURIComponent(key)}` }, "health of the antennas");
  return [
    el("p", { id: "antennas-observed" }, faulty.length ? `${faulty.length} of ${n} antennas at fault, ${Object.keys(out).length} left out of the image: ` : `None of ${n} antennas at fault: `, link),
    el("ul", {}, [...new Set([...faulty, ...Object.keys(out)])].map((name) => el("li", {}, el("strong", {}, `Antenna ${name}: `), faults[name] ?? "no fault", name in out ? `; left out: ${out[name]}` : ""))),
  ];
}

export async function page(index, key) {
  const { record, history, statistics, products, layers, sets, mosaics, antennas, dagster } = await recordOf(`observations/${encodeURIComponent(key)}`);
  const mine = (layer) => ({ what: "observations", key, kind: layer.kind });
  const withAddresses = layers.map((layer) => ({ ...layer, src: layerAddress(mine(layer), "webp") }));
  return [
    el("p", {}, el("a", { href: "#/observations" }, "All observations")),
    el("h1", { tabindex: -1 }, `Observation ${key}`),
    el("p", { class: "lead" }, el("span", { class: `state ${record.state}` }, record.state), record.reason ? `: ${record.reason}` : ""),
    factsOf(record, statistics),
    sets.length ? el("p", { id: "sets-applied" }, "Calibrated with ", listed(sets.map((one) => [setLink(one.name, one.version), one.borrowed ? " (borrowed)" : ""]))) : null,
    antennas ? antennasOf(key, antennas) : null,
    mosaics.length ? el("p", { id: "in-mosaics" }, "In the mosaics ", listed(mosaics.map(mosaicLink))) : null,
    partitions(dagster, key, ["image_5min", "calibrated_ms", "image_photometry"], history.findLast((e) => e.run_id)?.run_id),
    layers.length ? imageViewer({ id: "observed", layers: withAddresses, places: await placesOf(index), part: (layer, box) => partAddress(mine(layer), box), valueAt: (layer, x, y) => pixelValue(mine(layer), x, y) }) : el("p", { class: "message" }, "There is no image of this observation."),
    el("h2", {}, "History"),
    el("ol", { class: "marks" }, history.map((e) => el("li", {}, el("strong", {}, e.state), ` ${e.utc.slice(0, 19).replace("T", " ")} UTC, ${e.step}${e.message ? ": " : ""}`, e.message ? el("span", { class: "prose" }, e.message) : null, e.run_id ? el("p", { class: "dim" }, "run ", inDagster(dagster, `runs/${e.run_id}`, e.run_id)) : null))),
    el("h2", {}, "Products"),
    el("ul", { id: "products" }, products.map((p) => el("li", {}, layers.some((l) => l.kind === p.kind) ? el("a", { href: layerAddress(mine(p), "fits"), download: "" }, p.kind) : p.kind, ` ${sizeText(p.size_bytes)} `, el("span", { class: "id" }, p.path)))),
    el("p", {}, "Delivered as ", el("span", { class: "id" }, record.path)),
  ].flat().filter(Boolean);
}
