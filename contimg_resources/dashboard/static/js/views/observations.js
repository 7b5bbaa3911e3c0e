// Observations. Belongs here: their table, by state and text. Doesn't: the quality of their images.

import { choice, el } from "../elements.js";
import { keep } from "../keeping.js";
import { isLive } from "../live.js";
import { loadDocument } from "../loading.js";
import { counted, degrees, position } from "../numbers.js";
import { observationLink, setLink } from "../pages.js";
import { table } from "../tables.js";
import { nowMjd, utcText } from "../times.js";
import { reprocessing } from "./reprocessing.js";

export const title = "Observations";
export const needs = ["observations"];

/** Which sub-bands lack, in words. */
const lacking = (o) => (o.missing_sub_bands?.length ? `without sub-bands ${o.missing_sub_bands.join(", ")}` : "");

const COLUMNS = [
  { name: "Observation", of: (o) => o.key, show: (o) => (isLive && o.state !== "rejected" ? observationLink(o.key) : el("span", { class: "id" }, o.key)) },
  { name: "Mid-time (UTC)", of: (o) => o.mid_mjd, show: (o) => (o.mid_mjd === null ? "–" : utcText(o.mid_mjd)) },
  { name: "State", of: (o) => o.state, show: (o) => el("span", { class: `state ${o.state}` }, o.state) },
  { name: "Reason", of: (o) => o.reason, show: (o) => el("span", { class: "prose" }, [o.reason, lacking(o)].filter(Boolean).join("; ")) },
  { name: "Caltable set", of: (o) => o.set_name, show: (o) => (o.set_name ? el("span", { class: "id" }, isLive && o.set_version ? setLink(o.set_name, o.set_version) : o.set_name, o.borrowed ? " (borrowed)" : "", o.stale ? " (stale)" : "") : "–") },
  { name: "Calibrator", of: (o) => o.calibrator },
  { name: "RA, Dec on the meridian", of: (o) => o.ra_deg, show: (o) => (o.ra_deg === undefined ? "–" : position(o.ra_deg, o.dec_deg)) },
  { name: "Strip", of: (o) => o.dec_deg, show: (o) => degrees(o.dec_deg), number: true },
];

export async function show(index, key) {
  if (key && isLive) return (await import("./observation.js")).page(index, key);
  const document = await loadDocument(index, "observations");
  const rejected = (index.status.rejections ?? []).map((r) => ({ key: r.name, mid_mjd: null, state: "rejected", reason: r.reason }));
  const all = [...(document?.observations ?? []), ...rejected];
  const chosen = keep("observations", { state: "", text: "" });
  const place = el("div");
  const said = el("p", { class: "dim", role: "status" });
  const states = [...new Set(all.map((o) => o.state))].sort();
  const text = el("input", { type: "search", id: "observations-text", value: chosen.text, input: () => { chosen.text = text.value; draw(); } });
  function draw() {
    const word = chosen.text.trim().toLowerCase();
    const rows = all.filter((o) => (!chosen.state || o.state === chosen.state || (chosen.state === "stale" && o.stale)) && (!word || [o.key, o.reason, lacking(o), o.calibrator, o.set_name].some((t) => t?.toLowerCase().includes(word))));
    said.textContent = `${counted(rows.length, "observations")} of ${all.length.toLocaleString("en")}`;
    place.replaceChildren(table({ id: "observations", caption: "Observations", columns: COLUMNS, rows, sort: "-Mid-time (UTC)", none: "No observation matches." }));
  }
  draw();
  return [
    el("h1", { tabindex: -1 }, title),
    el(
      "div",
      { class: "controls" },
      choice("observations-state", "State", [["", "any"], ...states.map((s) => [s, s]), ["stale", "stale products"]], chosen.state, (value) => { chosen.state = value; draw(); }),
      el("label", { class: "control" }, el("span", {}, "Key, reason, calibrator or set"), text),
    ),
    await reprocessing(index.status.end_mjd ?? nowMjd()),
    said,
    place,
  ].filter(Boolean);
}
