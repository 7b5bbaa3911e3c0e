// Candidates. Belongs here: their list, the card of one, marking, the queue of those without a mark.
// Doesn't: keeping marks (see live.js).

import { annotationsOf, annotationsPart, loadAnnotations, tagLine } from "../annotations.js";
import { beside, choice, el } from "../elements.js";
import { chart } from "../charts/chart.js";
import { lightCurve } from "../charts/lightcurve.js";
import { dots, line, rule } from "../charts/marks.js";
import { keep } from "../keeping.js";
import { isLive, loadMarks, mark, signOut, whoAmI, withMarks } from "../live.js";
import { loadDocument, loadLightCurve } from "../loading.js";
import { counted, digits, fixed, median, percent, position, range, withError } from "../numbers.js";
import { command, quoted } from "../shell.js";
import { signingIn } from "../signing.js";
import { spanControl } from "../span.js";
import { table } from "../tables.js";
import { dayText, utcText } from "../times.js";
import { curveOf } from "./variables.js";

export const title = "Candidates";
export const needs = ["candidates", "light_curves", "annotations"];

const MARKS = ["real", "artefact", "follow up"];
/** Keys that mark a candidate; n goes to the next one without a mark. */
const KEYS = { r: "real", a: "artefact", f: "follow up" };
const NEXT = "n";
const NEIGHBOURS_SHOWN = 6;

/** Kinds of candidates, as people read them. */
const KINDS = { ese: "ESE", "new source": "new source" };
const kindOf = (c) => KINDS[c.kind ?? "ese"] ?? c.kind;
const isNew = (c) => c.kind === "new source";

const cardOf = (id) => `#/candidates/${encodeURIComponent(id)}`;

const COLUMNS = [
  { name: "Candidate", of: (c) => c.id, show: (c) => el("a", { class: "id", href: cardOf(c.id) }, c.id) },
  { name: "Kind", of: (c) => kindOf(c) },
  { name: "State", of: (c) => c.state, show: (c) => el("span", { class: `state ${c.state.replaceAll(" ", "-")}` }, c.state) },
  { name: "Mark", of: (c) => c.mark?.mark ?? "" , show: (c) => c.mark?.mark ?? "not marked" },
  { name: "Tags", of: (c) => annotationsOf("candidate", c.id).tags.map((t) => t.text).join(" "), show: (c) => tagLine(annotationsOf("candidate", c.id)) },
  { name: "Score", of: (c) => c.score, show: (c) => digits(c.score), number: true },
  { name: "Threshold", of: (c) => c.threshold, show: (c) => digits(c.threshold), number: true },
  { name: "Depth", of: (c) => c.depth, show: (c) => percent(c.depth, 0), number: true },
  { name: "Width (days)", of: (c) => c.width_days, show: (c) => fixed(c.width_days, 1), number: true },
  { name: "Now (mJy)", of: (c) => c.appearance?.latest_mjy, show: (c) => fixed(c.appearance?.latest_mjy ?? null, 2), number: true },
  { name: "Minimum or peak (UTC)", of: (c) => c.mid_mjd, show: (c) => dayText(c.mid_mjd) },
  { name: "Source", of: (c) => c.source_id, show: (c) => el("a", { class: "id", href: curveOf(c.source_id) }, c.source_id) },
];

/** Make a table of candidates with links to their cards. */
export const candidateTable = (rows, id) => table({ id, caption: "Candidates", columns: COLUMNS, rows: withMarks(rows), sort: "-Score", none: "No candidate matches." });

function list(candidates) {
  const chosen = keep("candidates", { kind: "", state: "", mark: "" });
  const place = el("div");
  const said = el("p", { class: "dim", role: "status" });
  function draw() {
    const rows = candidates.filter((c) => (!chosen.kind || (c.kind ?? "ese") === chosen.kind) && (!chosen.state || c.state === chosen.state) && (!chosen.mark || (c.mark?.mark ?? "none") === chosen.mark));
    said.textContent = `${counted(rows.length, "candidates")} of ${candidates.length}`;
    place.replaceChildren(candidateTable(rows, "candidates"));
  }
  draw();
  const set = (name) => (value) => { chosen[name] = value; draw(); };
  const warnings = new Set(candidates.filter((c) => c.state !== "withdrawn" && c.threshold_warning).map((c) => c.threshold_warning));
  const states = [...new Set(["in progress", "complete", "recurring", "withdrawn", ...candidates.map((c) => c.state)])];
  return [
    el(
      "div",
      { class: "controls" },
      choice("candidates-kind", "Kind", [["", "any"], ...Object.entries(KINDS)], chosen.kind, set("kind")),
      choice("candidates-state", "State", [["", "any"], ...states.map((s) => [s, s])], chosen.state, set("state")),
      choice("candidates-mark", "Mark", [["", "any"], ["none", "not marked"], ...MARKS.map((m) => [m, m])], chosen.mark, set("mark")),
    ),
    ...[...warnings].map((w) => el("p", { class: "message warn" }, `Warning: ${w}.`)),
    said,
    place,
  ];
}

const fact = (name, value) => el("div", {}, el("dt", {}, name), el("dd", {}, value));

function factsOfNew(c) {
  const a = c.appearance ?? {};
  return el(
    "dl",
    { class: "facts" },
    fact("Source", el("a", { class: "id", href: curveOf(c.source_id) }, c.source_id)),
    fact("RA, Dec (ICRS)", position(c.ra_deg, c.dec_deg)),
    fact("Found first", `${utcText(c.start_mjd)} UTC, mosaic ${a.first_epoch || "–"}`),
    fact("Flux density since then", withError(a.flux_mjy ?? null, a.flux_error_mjy ?? null, " mJy")),
    fact("Brightest", `${withError(a.peak_mjy ?? null, a.peak_error_mjy ?? null, " mJy")}, ${dayText(c.mid_mjd)}`),
    fact("Latest", `${withError(a.latest_mjy ?? null, a.latest_error_mjy ?? null, " mJy")}, ${dayText(a.latest_mjd ?? null)}`),
    fact("Earlier", `${withError(a.earlier_mjy ?? null, a.earlier_error_mjy ?? null, " mJy")} in ${counted(a.n_earlier ?? 0, "transits")}`),
    fact("Upper limit of the earlier epochs (3 σ)", `${fixed(a.upper_limit_mjy ?? null, 2)} mJy`),
    fact("Above the earlier epochs", `${digits(c.score)} σ, threshold ${digits(c.threshold)} σ`),
    fact("Detections without a catalogue", `${a.n_detections ?? "–"} in ${counted(a.n_since ?? 0, "transits")}, best S/N ${digits(a.best_snr ?? null)}`),
    fact("First found, last searched", `${dayText(c.first_day_mjd)}, ${dayText(c.searched_day_mjd)}`),
    a.reason ? fact("No event any more", a.reason) : null,
  );
}

function factsOf(c) {
  if (isNew(c)) return factsOfNew(c);
  const over = c.threshold ? `, ${fixed(c.score / c.threshold, 2)} × the threshold of ${digits(c.threshold)}` : "";
  return el(
    "dl",
    { class: "facts" },
    fact("Source", el("a", { class: "id", href: curveOf(c.source_id) }, c.source_id)),
    fact("RA, Dec (ICRS)", position(c.ra_deg, c.dec_deg)),
    fact("Score", `${digits(c.score)}${over}`),
    ...(c.threshold_check ? [fact("Check of the threshold", c.threshold_warning ? el("strong", {}, `Warning: ${c.threshold_warning}`) : c.threshold_check)] : []),
    fact("Depth", withError(c.depth, c.depth_error)),
    fact("Width", withError(c.width_days, c.width_error_days, " days")),
    fact("Epoch of minimum", `${utcText(c.mid_mjd)} UTC, MJD ${withError(c.mid_mjd, c.mid_error_days)}`),
    fact("Between half depths", `${dayText(c.start_mjd)} to ${dayText(c.end_mjd)}`),
    fact("Baseline", withError(c.baseline_mjy, c.baseline_error_mjy, " mJy")),
    fact("Reduced χ² with the dip", digits(c.reduced_chi2)),
    fact("Depth in neighbours", withError(c.neighbour_depth, c.neighbour_depth_error)),
    fact("2 Δ ln L over intrinsic variability", digits(c.over_walk)),
    fact("Change of spectral index", withError(c.spectral_change, c.spectral_change_error)),
    fact("Share of a lens's colour", withError(c.lens_fraction, c.lens_fraction_error)),
    fact("2 Δ ln L of a lens over a grey dip", digits(c.lens_over_grey)),
    fact("Template", c.template || "–"),
    fact("First found, last searched", `${dayText(c.first_day_mjd)}, ${dayText(c.searched_day_mjd)}`),
  );
}

function neighboursChart(c, start, end) {
  if (!c.neighbours.length) return el("p", { class: "dim" }, "No neighbours are available for comparison.");
  const shown = c.neighbours.slice(0, NEIGHBOURS_SHOWN);
  const curves = shown.map((n) => n.mid_mjd.map((x, i) => ({ x, y: n.ratio[i], id: n.source_id, separation: n.separation_deg })).filter((p) => p.y !== null && p.x >= start && p.x <= end));
  const points = curves.flat().sort((a, b) => a.x - b.x);
  const inDip = median(points.filter((p) => p.x >= c.start_mjd && p.x <= c.end_mjd).map((p) => p.y));
  return chart({
    id: "neighbours",
    title: "Neighbours, relative to their means",
    gist: `${counted(shown.length, "sources")} nearby${inDip === null ? "" : `; their median over the dip is ${fixed(inDip, 3)}`}. If they dip too, the cause is in the epochs, not in the source.`,
    height: 220,
    x: { kind: "time", label: "UTC date, and MJD", domain: range([start, end], { margin: 0.02 }) },
    y: { kind: "linear", label: "Flux density / mean", domain: range([...points.map((p) => p.y), 1 - (c.depth ?? 0), 1], { margin: 0.06 }) },
    draw(plot) {
      rule(plot, { y: 1 }, "ideal");
      if (c.depth) rule(plot, { y: 1 - c.depth }, "template");
      curves.forEach((curve, i) => {
        line(plot, curve, `thin near-${i}`);
        dots(plot, curve, `near-${i}`, 3);
      });
    },
    points: points.map((p) => ({ ...p, says: `${p.id}, ${utcText(p.x)} UTC: ${fixed(p.y, 3)} of its mean. `, open: curveOf(p.id) })),
    legend: [...shown.map((n, i) => [`near-${i}`, "dots", `${n.source_id}${n.separation_deg === null ? "" : ` (${fixed(n.separation_deg, 2)}° away)`}`]), ...(c.depth ? [["template", "line", "depth of the candidate"]] : [])],
    columns: [{ name: "Neighbour", of: (p) => p.id }, { name: "Separation (deg)", of: (p) => p.separation, show: (p) => fixed(p.separation, 2), number: true }, { name: "Mid-time (UTC)", of: (p) => p.x, show: (p) => utcText(p.x) }, { name: "Relative to mean", of: (p) => p.y, show: (p) => fixed(p.y, 3), number: true }],
    rows: points,
  });
}

function curves(c, curve) {
  const times = curve?.mid_mjd.length ? curve.mid_mjd : (c.template_mjd ?? []);
  if (!times.length) return [el("p", { class: "message" }, "The export has no light curve of this source.")];
  const place = el("div");
  const span = spanControl({ id: `span-of-candidate-${c.id}`, first: Math.min(times[0], c.start_mjd), last: Math.max(times.at(-1), c.end_mjd), changed: draw });
  const drawn = curve ?? { mid_mjd: [], flux_mjy: [], error_mjy: [], flags: [] };
  function draw() {
    const [start, end] = span.span();
    place.replaceChildren(
      lightCurve({ id: "candidate-curve", title: `Light curve of ${c.source_id}`, curve: drawn, candidates: [c], start, end, zoomed: span.zoom, height: 300 }),
      ...(isNew(c) ? [] : [neighboursChart(c, start, end)]),
    );
  }
  draw();
  return [span.element, place];
}

function picture(path, alt, broken = "This picture isn't in the export.") {
  const src = beside(path);
  const image = el("img", { src, alt, loading: "lazy" });
  // Text is clearer than an empty frame.
  image.addEventListener("error", () => image.replaceWith(el("span", { class: "dim missing" }, broken)));
  return src ? image : el("span", { class: "dim missing" }, broken);
}

function cutouts(c) {
  if (c.added_list) return el("p", { class: "dim" }, `None: this is an added light curve (list ${c.added_list}) without images.`);
  if (!c.cutouts.length) return el("p", { class: "dim" }, "None.");
  const strip = c.cutouts.map((cutout) => el("li", {}, el("figure", {}, picture(cutout.png, `Cutout around ${c.source_id}, epoch ${cutout.epoch}, ${utcText(cutout.mid_mjd)} UTC`), el("figcaption", {}, dayText(cutout.mid_mjd), el("br"), el("span", { class: "dim" }, `MJD ${cutout.mid_mjd.toFixed(2)}`)))));
  return el("ul", { class: "strip", tabindex: 0, "aria-label": "Cutouts by epoch" }, strip);
}

/** Candidates without a mark, best score first; withdrawn ones last. */
const unmarked = (candidates) => candidates.filter((c) => !c.mark).sort((a, b) => (a.state === "withdrawn") - (b.state === "withdrawn") || (b.score ?? 0) - (a.score ?? 0));

/** Go to the best candidate without a mark other than this one; to the list when there is none. */
function toNext(candidates, c = null) {
  const next = unmarked(candidates).find((other) => other.id !== c?.id);
  location.hash = next ? cardOf(next.id) : "#/candidates";
}

const redraw = () => dispatchEvent(new Event("redraw"));

/** The form that marks a candidate, and what the keys do while its card is shown. */
function markingHere(c, candidates, me) {
  const said = el("p", { class: "message", role: "status", hidden: true });
  if (!me.name) return me.tokens ? signingIn() : [el("p", { class: "dim" }, "You can't mark candidates here: the server doesn't know who you are.")];
  const chosen = keep(`mark:${c.id}`, { note: "" });
  const note = el("input", { type: "text", id: "mark-note", maxlength: 2000, value: chosen.note, input: () => (chosen.note = note.value) });
  let busy = false;
  const put = async (as, thenNext) => {
    if (busy) return;
    busy = true;
    try {
      await mark(c.id, as, note.value);
      chosen.note = "";
      if (thenNext) toNext(withMarks(candidates), c);
      else redraw();
    } catch (error) {
      said.hidden = false;
      said.textContent = `${error.message} The mark wasn't kept.`;
    } finally {
      busy = false;
    }
  };
  keys = (key) => {
    if (key === NEXT) toNext(withMarks(candidates), c);
    else put(KEYS[key], true);
  };
  const letters = Object.fromEntries(Object.entries(KEYS).map(([key, as]) => [as, key]));
  return [
    el("div", { class: "controls" }, el("label", { class: "control wide" }, el("span", {}, "Note"), note), MARKS.map((as) => el("button", { type: "button", id: `mark-${as.replaceAll(" ", "-")}`, "aria-keyshortcuts": letters[as], click: () => put(as, false) }, `${as[0].toUpperCase()}${as.slice(1)} (${letters[as]})`))),
    said,
    el("p", { class: "dim" }, `You are ${me.name}. `, me.tokens ? el("button", { type: "button", id: "sign-out", click: async () => { await signOut(); redraw(); } }, "Sign out") : null, ` Keys: ${Object.entries(KEYS).map(([key, as]) => `${key} ${as}`).join(", ")}, then the next candidate without a mark; ${NEXT} skips.`),
  ];
}

let keys = null;

addEventListener("hashchange", () => (keys = null), { capture: true });
addEventListener("keydown", (event) => {
  if (!keys || event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input, select, textarea")) return;
  if (event.key !== NEXT && !Object.hasOwn(KEYS, event.key)) return;
  event.preventDefault();
  keys(event.key);
});

/** Links to the report for observers, and the finding chart. */
function followUp(c) {
  const files = [[c.follow_up_json, `${c.id}.json`, "report as JSON"], [c.voevent_xml, `${c.id}.xml`, "VOEvent 2.0"], [c.chart_png, `${c.id}.png`, "finding chart"]].filter(([path]) => path && beside(path));
  if (!files.length) return el("p", { class: "dim" }, "The report for observers isn't made yet.");
  return [
    el("p", {}, isNew(c) ? "Position, flux density and earlier upper limit: " : "Position, depth, phase and predicted end: ", files.map(([path, download, text], n) => [n ? ", " : "", el("a", { href: beside(path), download }, text)])),
    c.chart_png ? el("details", {}, el("summary", { id: "finding-chart" }, "Finding chart"), el("div", { class: "card" }, picture(c.chart_png, `Finding chart of ${c.source_id}: the sky around it with the known sources`))) : null,
  ];
}

function marking(c) {
  const chosen = keep(`mark:${c.id}`, { mark: "real", note: "" });
  const place = el("div");
  const note = el("input", { type: "text", id: "mark-note", value: chosen.note, input: () => { chosen.note = note.value; draw(); } });
  const draw = () => place.replaceChildren(command("mark-command", `contimg candidates mark ${quoted(c.id)} ${quoted(chosen.mark)} --note ${chosen.note ? quoted(chosen.note) : '"..."'}`));
  draw();
  return [
    el("p", {}, "This copy of the dashboard is read-only. Run this command on the platform's machine, with --state and its directory unless CONTIMG_STATE names it:"),
    el("div", { class: "controls" }, choice("mark-as", "Mark as", MARKS.map((m) => [m, m]), chosen.mark, (value) => { chosen.mark = value; draw(); }), el("label", { class: "control" }, el("span", {}, "Note"), note)),
    place,
  ];
}

function history(c) {
  const marks = [c.mark, ...c.earlier_marks].filter(Boolean);
  if (!marks.length) return el("p", { class: "dim" }, "No marks yet.");
  return el("ol", { class: "marks" }, marks.map((m, i) => el("li", {}, el("strong", {}, m.mark), c.mark && !i ? " (current)" : "", ` by ${m.by}, ${m.utc.slice(0, 16).replace("T", " ")} UTC`, m.note ? el("p", { class: "prose" }, m.note) : null)));
}

/** How many people have marked a candidate with each mark; the last mark of each counts. */
function votes(c) {
  const last = new Map([...c.earlier_marks, c.mark].filter(Boolean).map((m) => [m.by, m.mark]));
  const found = MARKS.map((m) => [m, [...last.values()].filter((v) => v === m).length]).filter(([, n]) => n);
  return last.size > 1 ? el("p", { id: "votes" }, `Votes: ${found.map(([m, n]) => `${m} ${n}`).join(", ")}.`) : null;
}

async function card(index, c, candidates) {
  const me = await whoAmI();
  const curve = await loadLightCurve(index, c.light_curve_page, c.source_id);
  return [
    el("p", {}, el("a", { href: "#/candidates" }, "All candidates")),
    el("h1", { tabindex: -1 }, `Candidate ${c.id}`),
    el("p", { class: "lead" }, isNew(c) ? "New source: the catalogue lacks it, and earlier epochs exclude it. " : "", el("span", { class: `state ${c.state.replaceAll(" ", "-")}` }, c.state), c.mark ? ` marked ${c.mark.mark} by ${c.mark.by}` : " not marked yet"),
    factsOf(c),
    curves(c, curve),
    el("h2", {}, "For follow-up"),
    followUp(c),
    el("h2", {}, "Cutouts"),
    cutouts(c),
    el("section", { class: "marking" }, el("h2", {}, "Mark this candidate"), isLive ? markingHere(c, candidates, me) : marking(c)),
    el("h2", {}, "Marks"),
    votes(c),
    history(c),
    el("h2", {}, "Tags and comments"),
    await annotationsPart("candidate", c.id),
    c.card_png ? el("details", {}, el("summary", { id: "card-picture" }, "The card as a picture"), el("div", { class: "card" }, picture(c.card_png, `Card of candidate ${c.id}: the above as one picture`))) : null,
  ].flat().filter(Boolean);
}

export async function show(index, id) {
  const document = await loadDocument(index, "candidates");
  await Promise.all([loadMarks(), loadAnnotations(index)]);
  const candidates = withMarks(document?.candidates ?? []);
  if (id) {
    const found = candidates.find((c) => c.id === id);
    if (found) return card(index, found, candidates);
  }
  return [
    el("h1", { tabindex: -1 }, title),
    id ? el("p", { class: "message warn", role: "alert" }, `The export has no candidate “${id}”.`) : null,
    isLive && unmarked(candidates).length ? el("p", {}, el("button", { type: "button", id: "next-unmarked", click: () => toNext(candidates) }, `Vet ${counted(unmarked(candidates).length, "candidates")} without a mark`)) : null,
    candidates.length ? list(candidates) : el("p", { class: "message" }, "There are no candidates."),
  ].flat().filter(Boolean);
}
