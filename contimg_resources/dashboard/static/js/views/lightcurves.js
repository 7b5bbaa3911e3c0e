// Light curves. Belongs here: finding a source, its light curve and its facts. Doesn't: cards.

import { annotationsPart, loadAnnotations } from "../annotations.js";
import { el } from "../elements.js";
import { lightCurve } from "../charts/lightcurve.js";
import { structureChart } from "../charts/structure.js";
import { curveAddress, isLive } from "../live.js";
import { loadDocument, loadLightCurve } from "../loading.js";
import { counted, digits, fixed, percent, position, withError } from "../numbers.js";
import { readPosition, servicesAt } from "../places.js";
import { saveCsv } from "../saving.js";
import { spanControl } from "../span.js";
import { curveOf } from "./variables.js";

export const title = "Light curves";
export const needs = ["sources", "light_curves", "candidates", "variables", "annotations"];

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

function picture(curve, candidates, sourceId) {
  const [first, last] = [curve.mid_mjd[0], curve.mid_mjd.at(-1)];
  const place = el("div");
  const span = spanControl({ id: `span-of-${sourceId}`, first, last, changed: draw });
  function draw() {
    const [start, end] = span.span();
    place.replaceChildren(lightCurve({ id: "light-curve", title: `Light curve of ${sourceId}`, curve, candidates, start, end, zoomed: span.zoom }));
  }
  draw();
  const names = Object.keys(curve).filter((name) => Array.isArray(curve[name]) && curve[name].length === curve.mid_mjd.length);
  const save = el("button", { type: "button", id: "curve-csv", click: () => saveCsv(sourceId, names.map((name) => [name, curve[name]])) }, "Save as CSV");
  const votable = isLive ? el("a", { id: "curve-votable", href: curveAddress(sourceId), download: "" }, "VOTable with all columns") : null;
  return [span.element, place, el("p", {}, save, votable && " ", votable)];
}

/** Links to what others know about the place of a source. */
function elsewhere(sources, i) {
  const [ra, dec] = [sources.ra_deg[i], sources.dec_deg[i]];
  if (ra === null || dec === null) return null;
  const near = `#/sources/${encodeURIComponent(`${ra.toFixed(5)} ${dec.toFixed(5)}`)}`;
  return el("p", { id: "elsewhere" }, el("a", { href: near }, "Sources nearby"), ". At this position: ", servicesAt({ ra, dec }).map(([name, href], n) => [n ? ", " : "", el("a", { href, rel: "noreferrer noopener", target: "_blank" }, name)]), ".");
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
  const [sources, variables, events] = await Promise.all(["sources", "variables", "candidates"].map((name) => loadDocument(index, name)));
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
    own.length ? el("p", {}, "Candidates: ", own.map((c, n) => [n ? ", " : "", el("a", { href: `#/candidates/${encodeURIComponent(c.id)}` }, c.id), ` (${c.state})`])) : null,
    factsOf(sources, i),
    elsewhere(sources, i),
    curve?.mid_mjd.length ? picture(curve, own, sourceId) : el("p", { class: "message" }, "The export has no light curve of this source."),
    curve?.structure ? structureChart(curve.structure) : null,
    el("h2", {}, "Tags and comments"),
    await annotationsPart("source", sourceId),
  ].flat().filter(Boolean);
}
