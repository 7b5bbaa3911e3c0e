// Light curves. Belongs here: finding a source, its light curve and its facts. Doesn't: cards.

import { annotationsPart, loadAnnotations } from "../annotations.js";
import { choice, el } from "../elements.js";
import { foldedCurve, lightCurve } from "../charts/lightcurve.js";
import { structureChart } from "../charts/structure.js";
import { keep } from "../keeping.js";
import { curveAddress, isLive } from "../live.js";
import { loadDocument, loadLightCurve } from "../loading.js";
import { counted, digits, fixed, percent, position, withError } from "../numbers.js";
import { readPosition, servicesAt } from "../places.js";
import { saveCsv } from "../saving.js";
import { spanControl } from "../span.js";
import { curveOf } from "./variables.js";

export const title = "Light curves";
export const needs = ["sources", "light_curves", "candidates", "variables", "mosaics", "annotations"];

const OFFERED = 12;

/** Make a box that finds sources by a part of their id. */
function search(sources, current) {
  const input = el("input", { id: "source", type: "text", role: "combobox", autocomplete: "off", spellcheck: "false", "aria-expanded": "false", "aria-controls": "offered", "aria-autocomplete": "list", value: current });
  const list = el("ul", { id: "offered", role: "listbox", "aria-label": "Sources", hidden: true });
  const said = el("p", { class: "dim", id: "found", role: "status" }, `${counted(sources.source_id.length, "sources")}; enter any part of an id, or a position.`);
  let offered = [];
  let at = -1;
  const open = (id) => {
    close();
    input.value = id;
    location.hash = curveOf(id);
  };
  function close() {
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }
  function mark(i) {
    at = i;
    [...list.children].forEach((option, n) => option.setAttribute("aria-selected", String(n === i)));
    if (i >= 0) {
      input.setAttribute("aria-activedescendant", list.children[i].id);
      list.children[i].scrollIntoView({ block: "nearest" });
    } else input.removeAttribute("aria-activedescendant");
  }
  function offer() {
    const word = input.value.trim().toLowerCase();
    const found = word ? sources.source_id.filter((id) => id.toLowerCase().includes(word)) : [];
    offered = found.slice(0, OFFERED);
    list.replaceChildren(...offered.map((id, i) => el("li", { role: "option", id: `offered-${i}`, "aria-selected": "false", pointerdown: (event) => { event.preventDefault(); open(id); } }, id)));
    list.hidden = !offered.length;
    input.setAttribute("aria-expanded", String(!list.hidden));
    said.textContent = word ? `${counted(found.length, "sources")} found${found.length > OFFERED ? `, showing the first ${OFFERED}` : ""}; choose with the arrow keys, open with Enter.` : "Enter any part of an id, or a position.";
    mark(-1);
  }
  input.addEventListener("input", offer);
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    if ((event.key === "ArrowDown" || event.key === "ArrowUp") && offered.length) {
      event.preventDefault();
      if (list.hidden) offer();
      const step = event.key === "ArrowDown" ? 1 : -1;
      mark(at < 0 && step < 0 ? offered.length - 1 : (at + step + offered.length) % offered.length);
    } else if (event.key === "Enter") {
      if (offered.length) open(offered[Math.max(0, at)]);
      else if (readPosition(input.value) || (isLive && input.value.trim())) location.hash = `#/sources/${encodeURIComponent(input.value.trim())}`;
    } else if (event.key === "Escape") close();
  });
  return el("div", { class: "search" }, el("label", { for: "source" }, "Source"), input, list, said);
}

const fact = (name, value) => el("div", {}, el("dt", {}, name), el("dd", {}, value));

/** Intrinsic standard deviation of ln S in percent, with its interval. */
function sigmaText(sources, i) {
  const [sigma, error] = [sources.intrinsic_sigma[i], sources.intrinsic_sigma_error[i]];
  if (sigma === null) return "–";
  const [low, high] = [sources.intrinsic_sigma_low[i], sources.intrinsic_sigma_high[i]];
  if (low === 0) return `below ${percent(high)} (95 %)`;
  return `${withError(100 * sigma, 100 * error, " %")} (90 %: ${fixed(100 * low, 1)} to ${fixed(100 * high, 1)})`;
}

/** Time scale, with the sides on which the light curve doesn't constrain it. */
function tauText(sources, i) {
  const tau = sources.intrinsic_tau_days[i];
  if (tau === null) return "– (no intrinsic variability)";
  const [low, high] = [sources.intrinsic_tau_low_days[i], sources.intrinsic_tau_high_days[i]];
  if (low === null && high === null) return "not constrained";
  if (high === null) return `above ${digits(low)} days (95 %); longer than the time observed isn't excluded`;
  if (low === null) return `below ${digits(high)} days (95 %); shorter than the interval of measurements isn't excluded`;
  return `${withError(tau, sources.intrinsic_tau_error_days[i], " days")} (90 %: ${digits(low)} to ${digits(high)})`;
}

function factsOf(sources, i) {
  return el(
    "dl",
    { class: "facts" },
    fact("RA, Dec (ICRS)", position(sources.ra_deg[i], sources.dec_deg[i])),
    fact("Mean flux density", `${digits(sources.mean_flux_mjy[i])} mJy`),
    fact("Median S/N", digits(sources.median_snr[i])),
    fact("Epochs", sources.n_epochs[i].toLocaleString("en")),
    fact("η", digits(sources.eta[i])),
    fact("V", digits(sources.v[i])),
    fact("Modulation index", digits(sources.modulation_index[i])),
    fact("Spectral index", withError(sources.spectral_index?.[i] ?? null, sources.spectral_index_error?.[i] ?? null)),
    fact("p-value (steady source)", digits(sources.p_value[i], 2)),
    fact("Probability of intrinsic variability", digits(sources.intrinsic_probability[i], 2)),
    fact("Intrinsic standard deviation of ln S", sigmaText(sources, i)),
    fact("Intrinsic time scale", tauText(sources, i)),
    fact("Jitter of ln S", percent(sources.intrinsic_jitter[i])),
    fact("Flagged as variable", sources.is_variable[i] ? el("a", { href: "#/variables" }, "yes") : "no"),
  );
}

/** A source this far from a mosaic's centre is in it, degrees; along right ascension half its window more. */
const REACH_DEG = 1.5;
const DEG_PER_DAY = 360.9856;

/** The mosaics that contain a place and failed the checks of their epochs. */
function badEpochs(mosaics, ra, dec) {
  if (ra === null || dec === null) return [];
  return mosaics.filter((m) => {
    if (m.epoch_ok !== false || m.ra_deg === null || Math.abs(m.dec_deg - dec) > REACH_DEG) return false;
    const away = Math.abs(((ra - m.ra_deg + 540) % 360) - 180);
    return away < ((m.end_mjd - m.start_mjd) / 2) * DEG_PER_DAY + REACH_DEG / Math.cos(m.dec_deg * (Math.PI / 180));
  });
}

const periodOf = (text) => (/^\d*\.?\d+$/.test(text.trim()) && Number(text) > 0 ? Number(text) : null);

function picture(curve, candidates, sourceId, bad) {
  const [first, last] = [curve.mid_mjd[0], curve.mid_mjd.at(-1)];
  const place = el("div");
  const folded = el("div");
  const shown = keep("curve", { scale: "linear", period: "" });
  const span = spanControl({ id: `span-of-${sourceId}`, first, last, changed: draw });
  function draw() {
    const [start, end] = span.span();
    const log = shown.scale === "log";
    const period = periodOf(shown.period);
    place.replaceChildren(lightCurve({ id: "light-curve", title: `Light curve of ${sourceId}`, curve, candidates, start, end, zoomed: span.zoom, bad, log }));
    folded.replaceChildren(...(period ? [foldedCurve({ id: "folded-curve", title: `Folded light curve of ${sourceId}`, curve, period, zero: first, log })] : []));
  }
  draw();
  const fold = el("input", { type: "text", id: "curve-period", size: 10, inputmode: "decimal", value: shown.period, placeholder: "0.99727", title: "Days; a sidereal day is 0.99727", change: () => {
    shown.period = fold.value;
    fold.setAttribute("aria-invalid", String(Boolean(fold.value.trim()) && periodOf(fold.value) === null));
    draw();
  } });
  const controls = el("div", { class: "controls" }, choice("curve-scale", "Flux density", [["linear", "linear"], ["log", "logarithmic"]], shown.scale, (value) => { shown.scale = value; draw(); }), el("label", { class: "control" }, el("span", {}, "Fold with a period (days)"), fold));
  const names = Object.keys(curve).filter((name) => Array.isArray(curve[name]) && curve[name].length === curve.mid_mjd.length);
  const save = el("button", { type: "button", id: "curve-csv", click: () => saveCsv(sourceId, names.map((name) => [name, curve[name]])) }, "Save as CSV");
  const votable = isLive ? el("a", { id: "curve-votable", href: curveAddress(sourceId), download: "" }, "VOTable with all columns") : null;
  return [span.element, controls, place, folded, el("p", {}, save, votable && " ", votable)];
}

/** Links to what others know about the place of a source. */
function elsewhere(sources, i) {
  const [ra, dec] = [sources.ra_deg[i], sources.dec_deg[i]];
  if (ra === null || dec === null) return null;
  const near = `#/sources/${encodeURIComponent(`${ra.toFixed(5)} ${dec.toFixed(5)}`)}`;
  return el("p", { id: "elsewhere" }, el("a", { href: near }, "Sources nearby"), ", ", el("a", { id: "on-map", href: `#/map/${encodeURIComponent(`${ra.toFixed(5)} ${dec.toFixed(5)}`)}?map.fov=1` }, "Map"), ". At this position: ", servicesAt({ ra, dec }).map(([name, href], n) => [n ? ", " : "", el("a", { href, rel: "noreferrer noopener", target: "_blank" }, name)]), ".");
}

function beginning(variables, candidates) {
  const list = (ids) => el("ul", { class: "ids" }, ids.slice(0, 30).map((id) => el("li", {}, el("a", { class: "id", href: curveOf(id) }, id))));
  const [events, selected] = [[...new Set(candidates.map((c) => c.source_id))], variables.map((v) => v.source_id)];
  return [
    events.length ? [el("h2", {}, "Sources with candidates"), list(events)] : [],
    selected.length ? [el("h2", {}, "Variable sources"), list(selected)] : [],
  ].flat();
}

export async function show(index, sourceId) {
  const [sources, variables, events, mosaicked] = await Promise.all(["sources", "variables", "candidates", "mosaics"].map((name) => loadDocument(index, name)));
  const heading = el("h1", { tabindex: -1 }, title);
  if (!sources?.source_id.length) return [heading, el("p", { class: "message" }, "The export has no sources yet.")];
  const candidates = events?.candidates ?? [];
  const box = search(sources, sourceId);
  if (!sourceId) return [heading, box, beginning(variables?.variables ?? [], candidates)].flat();
  const i = sources.source_id.indexOf(sourceId);
  const name = el("h2", { class: "id" }, sourceId);
  if (i < 0) return [heading, box, name, el("p", { class: "message warn", role: "alert" }, "The export has no source with this id.")];
  const own = candidates.filter((c) => c.source_id === sourceId);
  const [curve] = await Promise.all([loadLightCurve(index, sources.light_curve_page[i], sourceId), loadAnnotations(index)]);
  return [
    heading,
    box,
    name,
    own.length ? el("p", {}, "Candidates: ", own.map((c, n) => [n ? ", " : "", el("a", { href: `#/candidates/${encodeURIComponent(c.id)}` }, c.id), ` (${c.kind === "new source" ? "new source, " : ""}${c.state})`])) : null,
    /^new-J\d{6}\.\d[+-]\d{6}$/.test(sourceId) ? el("p", { id: "not-in-catalogue", class: "dim" }, "The reference catalogue lacks this source: it was found in the mosaics without a catalogue. Its measurements before that are forced ones at its position.") : null,
    factsOf(sources, i),
    elsewhere(sources, i),
    curve?.mid_mjd.length ? picture(curve, own, sourceId, badEpochs(mosaicked?.mosaics ?? [], sources.ra_deg[i], sources.dec_deg[i])) : el("p", { class: "message" }, "The export has no light curve of this source."),
    curve?.structure ? structureChart(curve.structure) : null,
    el("h2", {}, "Tags and comments"),
    await annotationsPart("source", sourceId),
  ].flat().filter(Boolean);
}
