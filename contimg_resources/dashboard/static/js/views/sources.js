// Sources. Belongs here: the table of all sources, chosen by place, name and metrics. Doesn't: the
// light curve of one.

import { annotationsOf, loadAnnotations, tagLine, tagsOf } from "../annotations.js";
import { choice, el } from "../elements.js";
import { keep } from "../keeping.js";
import { isLive, positionOf, whoAmI } from "../live.js";
import { loadDocument } from "../loading.js";
import { counted, digits, position } from "../numbers.js";
import { readPosition, separation, separationText } from "../places.js";
import { saveCsv } from "../saving.js";
import { saveButtons, selectionQuery } from "../selection.js";
import { table } from "../tables.js";
import { curveOf } from "./variables.js";

export const title = "Sources";
export const needs = ["sources", "annotations"];

/** Metrics by which sources can be chosen: name in the document, heading. */
const METRICS = [
  ["mean_flux_mjy", "Mean flux density (mJy)"],
  ["median_snr", "Median S/N"],
  ["n_epochs", "Epochs"],
  ["eta", "η"],
  ["v", "V"],
  ["modulation_index", "Modulation index"],
  ["p_value", "p-value (steady source)"],
];

/** Whether a source is among those that people chose: `tagged` is "", or one of the choices below. */
function isTagged(id, tagged, me) {
  if (!tagged) return true;
  const found = annotationsOf("source", id);
  if (tagged === "mine") return found.favourite_of.includes(me);
  if (tagged === "favourites") return found.favourite_of.length > 0;
  if (tagged === "comments") return found.comments.length > 0;
  return found.tags.some((t) => `tag ${t.text}` === tagged);
}

const number = (text) => (text.trim() === "" || !Number.isFinite(Number(text)) ? null : Number(text));

/** What is asked for: a place with a radius in degrees or a part of an id, and limits. */
function wishOf(chosen) {
  const named = chosen.named?.text === chosen.text && chosen.named.by ? chosen.named : null;
  return { place: named ?? readPosition(chosen.text), radius: (number(chosen.radius) ?? 10) / 60, word: chosen.text.trim().toLowerCase(), least: number(chosen.least), most: number(chosen.most), metric: chosen.metric, variable: chosen.variable };
}

/** Ask the server for the position of a name that is no part of an id, once. */
async function askForName(sources, chosen) {
  const text = chosen.text;
  const word = text.trim().toLowerCase();
  if (!isLive || !word || chosen.named?.text === text || readPosition(text) || sources.source_id.some((id) => id.toLowerCase().includes(word))) return;
  try {
    const { name, ra_deg: ra, dec_deg: dec, known_by: by } = await positionOf(text.trim());
    chosen.named = { text, name, by, ra, dec };
  } catch (error) {
    chosen.named = { text, reason: error.message };
  }
}

/** Return the rows that are wanted; with a place, the nearest first. */
function chosenRows(sources, chosen, me) {
  const { place, radius, word, least, most } = wishOf(chosen);
  const values = sources[chosen.metric];
  const rows = [];
  sources.source_id.forEach((id, i) => {
    const [ra, dec] = [sources.ra_deg[i], sources.dec_deg[i]];
    const away = place && ra !== null && dec !== null ? separation(place, { ra, dec }) : null;
    if (place ? away === null || away > radius : word && !id.toLowerCase().includes(word)) return;
    if (!isTagged(id, chosen.tagged, me)) return;
    if (chosen.variable && !sources.is_variable[i]) return;
    if ((least !== null && !(values[i] >= least && values[i] !== null)) || (most !== null && !(values[i] <= most && values[i] !== null))) return;
    rows.push({ i, id, ra, dec, away });
  });
  return { place, rows };
}

export async function show(index, text) {
  const [sources, { name: me }] = await Promise.all([loadDocument(index, "sources"), whoAmI(), loadAnnotations(index)]);
  const heading = el("h1", { tabindex: -1 }, title);
  if (!sources?.source_id.length) return [heading, el("p", { class: "message" }, "The export has no sources yet.")];
  const chosen = keep("sources", { text: "", radius: "10", metric: "eta", least: "", most: "", variable: false, tagged: "" });
  if (text) chosen.text = text;
  await askForName(sources, chosen);
  const place = el("div");
  const said = el("p", { class: "dim", role: "status", id: "sources-found" });
  let shown = { rows: [] };
  const cellOf = (name) => (row) => sources[name][row.i];
  function draw() {
    shown = chosenRows(sources, chosen, me);
    const near = shown.place;
    const columns = [
      { name: "Source", of: (r) => r.id, show: (r) => el("a", { class: "id", href: curveOf(r.id) }, r.id) },
      ...(near ? [{ name: "Separation", of: (r) => r.away, show: (r) => separationText(r.away), number: true }] : []),
      { name: "RA, Dec (ICRS)", of: (r) => r.ra, show: (r) => position(r.ra, r.dec) },
      { name: "Tags", of: (r) => annotationsOf("source", r.id).tags.map((t) => t.text).join(" "), show: (r) => tagLine(annotationsOf("source", r.id)) },
      ...METRICS.map(([name, heading]) => ({ name: heading, of: cellOf(name), show: (r) => (name === "n_epochs" ? sources[name][r.i]?.toLocaleString("en") : digits(sources[name][r.i])), number: true })),
      { name: "Variable", of: (r) => (sources.is_variable[r.i] ? "yes" : "") },
    ];
    said.textContent = `${counted(shown.rows.length, "sources")} of ${sources.source_id.length.toLocaleString("en")}${near ? ` within ${separationText((number(chosen.radius) ?? 10) / 60)} of ${near.name ? `${near.name} (${near.by}), ` : ""}${position(near.ra, near.dec)}` : ""}${chosen.named?.text === chosen.text && chosen.named.reason ? `: ${chosen.named.reason}` : ""}`;
    place.replaceChildren(table({ id: near ? "sources-near" : "sources", caption: "Sources", columns, rows: shown.rows, sort: near ? "Separation" : "-Mean flux density (mJy)", none: "No source matches." }));
  }
  const save = () => {
    const of = (name) => shown.rows.map((r) => sources[name][r.i]);
    saveCsv("sources", [...["source_id", "ra_deg", "dec_deg", ...METRICS.map(([name]) => name), "is_variable"].map((name) => [name, of(name)]), ["tags", shown.rows.map((r) => annotationsOf("source", r.id).tags.map((t) => t.text).join("; "))]]);
  };
  const box = (id, label, name, more = {}) => {
    const input = el("input", { type: "text", id, value: chosen[name], spellcheck: "false", ...more, input: () => { chosen[name] = input.value; draw(); }, keydown: async (event) => {
      if (name !== "text" || event.key !== "Enter") return;
      await askForName(sources, chosen);
      draw();
    } });
    return el("label", { class: name === "text" ? "control wide" : "control" }, el("span", {}, label), input);
  };
  const variable = el("input", { type: "checkbox", id: "sources-variable", checked: chosen.variable, change: () => { chosen.variable = variable.checked; draw(); } });
  const tags = [["", "any"], ...(me ? [["mine", "my favourites"]] : []), ["favourites", "anybody's favourites"], ["comments", "with comments"], ...tagsOf("source").map((t) => [`tag ${t}`, t])];
  draw();
  return [
    heading,
    el("div", { class: "controls" }, box("sources-text", isLive ? "Part of an id, a position, or a name and Enter" : "Part of an id, or a position", "text", { placeholder: `01:37:41.3 +33:09:35, 24.42 33.16, G 134.0 -28.7, J0137+3309${isLive ? ", 3C48" : ""}` }), box("sources-radius", "Radius (arcmin)", "radius", { inputmode: "decimal", size: 6 })),
    el("div", { class: "controls" }, choice("sources-metric", "Metric", METRICS, chosen.metric, (value) => { chosen.metric = value; draw(); }), box("sources-least", "At least", "least", { inputmode: "decimal", size: 8 }), box("sources-most", "At most", "most", { inputmode: "decimal", size: 8 }), choice("sources-tagged", "Tag or favourite", tags, chosen.tagged, (value) => { chosen.tagged = value; draw(); }), el("label", { class: "tick" }, variable, " flagged as variable"), el("button", { type: "button", id: "sources-csv", click: save }, "Save as CSV"), saveButtons(() => selectionQuery({ ...wishOf(chosen), ids: chosen.tagged ? shown.rows.map((r) => r.id) : null }))),
    said,
    place,
  ];
}
