// One mosaic. Belongs here: its record, images, the same sky at other epochs, its inputs. Doesn't:
// the table of all.

import { chart } from "../charts/chart.js";
import { dots, line } from "../charts/marks.js";
import { el } from "../elements.js";
import { imageViewer } from "../imageviewer.js";
import { layerAddress, partAddress, pixelValue, record as recordOf } from "../live.js";
import { counted, digits, fixed, range, withError } from "../numbers.js";
import { fact, inDagster, observationLink, partitions, placesOf, sizeText } from "../pages.js";
import { table } from "../tables.js";
import { dayText, utcText } from "../times.js";

const INPUTS = [
  { name: "Observation", of: (t) => t.key, show: (t) => observationLink(t.key) },
  { name: "Start (UTC)", of: (t) => t.start_mjd ?? null, show: (t) => (t.start_mjd ? utcText(t.start_mjd) : "–") },
  { name: "rms (mJy/beam)", of: (t) => t.rms_mjy ?? null, show: (t) => digits(t.rms_mjy), number: true },
  { name: "Its own beam", of: (t) => t.beam?.major_arcsec ?? null, show: (t) => (t.beam ? `${digits(t.beam.major_arcsec)}″ × ${digits(t.beam.minor_arcsec)}″` : "–"), number: true },
  { name: "Step at its edge (σ)", of: (t) => t.seam_sigma ?? null, show: (t) => digits(t.seam_sigma), number: true },
  { name: "Not used because", of: (t) => t.refused ?? "", show: (t) => el("span", { class: "prose" }, t.refused ?? "") },
];

function factsOf(r, s, e) {
  const ratio = s.rms_mjy && s.expected_rms_mjy ? `, ${fixed(s.rms_mjy / s.expected_rms_mjy, 2)} × the expected ${digits(s.expected_rms_mjy)}` : "";
  return el(
    "dl",
    { class: "facts" },
    fact("Mid-time", `${utcText(r.mid_mjd)} UTC, MJD ${fixed(r.mid_mjd, 5)}`),
    fact("Window", `${utcText(r.start_mjd)} to ${utcText(r.end_mjd)} UTC`),
    fact("rms of its deepest quarter", `${digits(s.rms_mjy)} mJy/beam${ratio}`),
    fact("Noise / expected noise, everywhere", fixed(s.rms_ratio, 2)),
    fact("Peak", `${digits(s.peak_jy)} Jy/beam`),
    fact("Beam", `${digits(s.bmaj_arcsec)}″ × ${digits(s.bmin_arcsec)}″, ${fixed(s.bpa_deg, 0)}° east of north`),
    fact("Observed", `${fixed(s.observed_deg2, 1)} deg²`),
    ...(e
      ? [
          fact("Sources measured", `${e.n_measured} of ${e.n_sources} in ${e.catalogue}`),
          fact("Epoch", e.ok ? "good" : el("span", { class: "state failed" }, `failed checks: ${e.reason}`)),
          fact("Flux scale", e.scale === null ? "– (too few reference sources)" : `${withError(e.scale, e.scale_error)}, ${e.n_references ?? "–"} reference sources`),
          fact("Offset from the catalogue (east, north)", `${digits(e.east_arcsec)}″, ${digits(e.north_arcsec)}″`),
        ]
      : []),
  );
}

/** Completeness by injected sources, and share of real sources by negative peaks, against S/N. */
function curvesOf(found) {
  const { snr_from: from, snr_to: to, injected, found: recovered } = found.completeness;
  const complete = from.map((low, i) => ({ x: Math.sqrt(low * to[i]), y: injected[i] ? recovered[i] / injected[i] : null, n: injected[i] })).filter((p) => p.y !== null);
  const { snr, n_found: above, n_negative: negative } = found.reliability;
  const real = snr.map((x, i) => ({ x, y: above[i] ? Math.max(0, 1 - negative[i] / above[i]) : null, n: above[i] })).filter((p) => p.y !== null);
  const says = (p, what) => ({ ...p, what, says: `S/N ${fixed(p.x, 1)}: ${what} ${fixed(p.y, 3)} of ${p.n}. ` });
  const points = [...complete.map((p) => says(p, "found of the injected")), ...real.map((p) => says(p, "real above it"))].sort((a, b) => a.x - b.x);
  if (!points.length) return null;
  return chart({
    id: "completeness",
    title: "Completeness and reliability",
    gist: "Share of point sources injected into this mosaic's own noise that are found, and share of the detections above an S/N that the negative peaks leave as real.",
    height: 220,
    x: { kind: "log", label: "S/N", domain: range(points.map((p) => p.x), { margin: 0.05, log: true }) },
    y: { kind: "linear", label: "Share", domain: [0, 1.05] },
    draw(plot) {
      line(plot, complete, "near-0");
      dots(plot, complete, "near-0", 5);
      line(plot, real, "near-1");
      dots(plot, real, "near-1", 5);
    },
    points,
    legend: [["near-0", "dots", "completeness"], ["near-1", "dots", "reliability"]],
    columns: [{ name: "Curve", of: (p) => p.what }, { name: "S/N", of: (p) => p.x, show: (p) => fixed(p.x, 1), number: true }, { name: "Share", of: (p) => p.y, show: (p) => fixed(p.y, 3), number: true }, { name: "Of", of: (p) => p.n, number: true }],
    rows: points,
  });
}

function foundPart(found) {
  if (!found) return [];
  return [
    el("h2", {}, "Found sources"),
    el(
      "dl",
      { class: "facts" },
      fact("Found without a catalogue", `${counted(found.n_sources, "sources")} above S/N ${fixed(found.min_snr, 2)}, ${fixed(found.n_expected, 0)} expected from source counts`),
      fact("S/N that a new source needs", found.new_snr ? `${fixed(found.new_snr, 2)}, in a single transit ${fixed(found.single_snr ?? null, 2)}` : "–"),
      fact("Check", el("span", { class: "prose" }, found.check ?? "–")),
    ),
    found.completeness && found.reliability ? curvesOf(found) : null,
  ];
}

export async function page(index, key) {
  const { record, statistics, epoch, found, inputs, epochs, layers, dagster } = await recordOf(`mosaics/${encodeURIComponent(key)}`);
  const at = (layer) => ({ what: "mosaics", key, kind: layer.of ?? layer.kind, at: layer.epoch });
  const image = layers.find((layer) => layer.kind === "image");
  // The other epochs are drawn on the pixels of this mosaic, so that nothing moves while they blink.
  const others = image ? epochs.map((one) => ({ ...image, kind: `epoch-${one.key}`, of: "image", epoch: one.key, name: `${dayText(one.mid_mjd)} (${one.key})` })) : [];
  const shown = [...layers, ...others].map((layer) => ({ ...layer, src: layerAddress(at(layer), "webp") }));
  return [
    el("p", {}, el("a", { href: "#/mosaics" }, "All mosaics")),
    el("h1", { tabindex: -1 }, `Mosaic ${key}`),
    el("p", { class: "lead" }, el("span", { class: `state ${record.state}` }, record.state), record.reason ? ` ${record.reason}` : ""),
    factsOf(record, statistics, epoch),
    partitions(dagster, key, ["mosaic_60min", "forced_photometry", "found_sources", "new_sources"]),
    record.run_id ? el("p", { class: "dim" }, `Made ${record.made_utc.slice(0, 19).replace("T", " ")} UTC by run `, inDagster(dagster, `runs/${record.run_id}`, record.run_id)) : null,
    shown.length ? imageViewer({ id: "mosaicked", layers: shown, places: await placesOf(index), part: (layer, box) => partAddress(at(layer), box), valueAt: (layer, x, y) => pixelValue(at(layer), x, y) }) : el("p", { class: "message" }, "There is no image of this mosaic."),
    image ? el("p", { class: "dim" }, epochs.length ? `“Blink” (key b) shows the same sky at ${counted(epochs.length, "other epochs")}.` : "This sky was observed only once.") : null,
    foundPart(found),
    el("h2", {}, "Images"),
    table({ id: "tiles", caption: "Images in this mosaic", columns: INPUTS, rows: inputs, sort: "Start (UTC)", none: "None." }),
    el("h2", {}, "Files"),
    el("ul", { id: "products" }, layers.map((layer) => el("li", {}, el("a", { href: layerAddress(at(layer), "fits"), download: "" }, layer.name)))),
    el("p", {}, `${sizeText(record.size_bytes)} in `, el("span", { class: "id" }, record.directory)),
  ].flat(2).filter(Boolean);
}
