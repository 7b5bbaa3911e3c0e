// Mosaics. Belongs here: their table, their noise over time. Doesn't: measurements in them.

import { el } from "../elements.js";
import { chart } from "../charts/chart.js";
import { dots, shapes } from "../charts/marks.js";
import { isLive } from "../live.js";
import { loadDocument } from "../loading.js";
import { counted, degrees, digits, fixed, median, range } from "../numbers.js";
import { mosaicLink, thumbnail } from "../pages.js";
import { table } from "../tables.js";
import { utcText } from "../times.js";

export const title = "Mosaics";
export const needs = ["mosaics"];

const COLUMNS = [
  { name: "Mosaic", of: (m) => m.key, show: (m) => (isLive ? mosaicLink(m.key) : el("span", { class: "id" }, m.key)) },
  { name: "Mid-time (UTC)", of: (m) => m.mid_mjd, show: (m) => utcText(m.mid_mjd) },
  { name: "State", of: (m) => m.state, show: (m) => el("span", { class: `state ${m.state}` }, m.state) },
  { name: "Reason", of: (m) => m.reason, show: (m) => el("span", { class: "prose" }, m.reason) },
  { name: "Strip", of: (m) => m.dec_deg, show: (m) => degrees(m.dec_deg), number: true },
  { name: "Tiles", of: (m) => m.n_tiles, number: true },
  { name: "rms (mJy)", of: (m) => m.rms_mjy, show: (m) => digits(m.rms_mjy), number: true },
  { name: "Expected (mJy)", of: (m) => m.expected_rms_mjy, show: (m) => digits(m.expected_rms_mjy), number: true },
  { name: "Area (deg²)", of: (m) => m.observed_deg2, show: (m) => fixed(m.observed_deg2, 1), number: true },
  { name: "Sources measured", of: (m) => m.n_measured, show: (m) => (m.n_measured === null ? "–" : `${m.n_measured} of ${m.n_sources ?? "?"}`), number: true },
  { name: "Flux scale", of: (m) => m.flux_scale, show: (m) => fixed(m.flux_scale, 3), number: true },
  { name: "Epoch", of: (m) => m.epoch_ok, show: (m) => (m.epoch_ok === null ? "–" : m.epoch_ok ? "good" : el("span", { class: "state failed" }, "failed checks")) },
];

/** Width of a thumbnail, CSS pixels, as in style.css. */
const THUMBNAIL_PX = 240;
const PICTURE = { name: "Image", of: () => null, show: (m) => (m.state === "made" ? thumbnail({ what: "mosaics", key: m.key, kind: "image" }, THUMBNAIL_PX) : "–") };

export async function show(index, key) {
  if (key && isLive) return (await import("./mosaic.js")).page(index, key);
  const document = await loadDocument(index, "mosaics");
  const all = document?.mosaics ?? [];
  const measured = all.filter((m) => m.rms_mjy !== null);
  const points = measured.map((m) => ({ x: m.mid_mjd, y: m.rms_mjy, mosaic: m, says: `${m.key}, ${utcText(m.mid_mjd)} UTC: rms ${digits(m.rms_mjy)} mJy, expected ${digits(m.expected_rms_mjy)} mJy; ${counted(m.n_tiles, "tiles")}. `, open: isLive ? `#/mosaics/${encodeURIComponent(m.key)}` : null }));
  const [ok, not] = [points.filter((p) => p.mosaic.epoch_ok !== false), points.filter((p) => p.mosaic.epoch_ok === false)];
  return [
    el("h1", { tabindex: -1 }, title),
    measured.length
      ? chart({
          id: "mosaic-rms",
          title: "Noise of the mosaics",
          gist: `${counted(measured.length, "mosaics")}, median rms ${digits(median(measured.map((m) => m.rms_mjy)))} mJy; ${counted(not.length, "epochs")} with failed checks.`,
          height: 280,
          x: { kind: "time", label: "UTC date, and MJD", domain: range(measured.map((m) => m.mid_mjd)) },
          y: { kind: "log", label: "rms (mJy)", domain: range(measured.flatMap((m) => [m.rms_mjy, m.expected_rms_mjy]), { log: true }) },
          draw(plot) {
            dots(plot, ok, "main", 5);
            dots(plot, measured.filter((m) => m.expected_rms_mjy !== null).map((m) => ({ x: m.mid_mjd, y: m.expected_rms_mjy })), "other", 3);
            shapes(plot, not, "cross", "bad", 4);
          },
          points,
          legend: [["main", "dots", "rms"], ["other", "dots", "expected"], ["bad", "cross", "epoch with failed checks"]],
          columns: COLUMNS.filter((c) => ["Mosaic", "Mid-time (UTC)", "rms (mJy)", "Expected (mJy)", "Epoch"].includes(c.name)),
          rows: measured,
        })
      : null,
    table({ id: "mosaics", caption: "Mosaics", columns: isLive ? [COLUMNS[0], PICTURE, ...COLUMNS.slice(1)] : COLUMNS, rows: all, sort: "-Mid-time (UTC)", none: "The export has no mosaics yet." }),
  ].filter(Boolean);
}
