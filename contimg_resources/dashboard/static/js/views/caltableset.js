// One caltable set. Belongs here: its record, tables with figures and limits, plots, the solutions of
// each antenna, the observations that it was applied to. Doesn't: the timeline of all sets.

import { el } from "../elements.js";
import { chart } from "../charts/chart.js";
import { dots, shapes } from "../charts/marks.js";
import { addressOf, record as recordOf } from "../live.js";
import { counted, degrees, digits, fixed, percent, range } from "../numbers.js";
import { fact, inDagster, observationLink, partitions, setLink, listed } from "../pages.js";
import { table } from "../tables.js";
import { utcText } from "../times.js";

const TITLES = { K: "delay", BA: "bandpass amplitude", BP: "bandpass phase", GA: "gain amplitude", GP: "gain phase", "2G": "short-interval gain", FLUX: "gain amplitude on the flux scale" };
const RECEPTORS = ["first receptor", "second receptor"];
const TRIVIAL = 1e-4;

function factsOf(r) {
  const bands = r.spectral_windows_hz;
  return el(
    "dl",
    { class: "facts" },
    fact("Calibrator observed", `${r.calibrator}, ${utcText(r.mid_mjd)} UTC`),
    fact("Valid", `${utcText(r.start_mjd)} to ${utcText(r.end_mjd)} UTC`),
    fact("Strip", r.dec_deg === null ? "any" : degrees(r.dec_deg)),
    fact("Reference antenna", r.refant || "–"),
    fact("Antennas", `${r.working_antennas ?? "–"} with data, ${r.n_antennas} known`),
    fact("Flagged", percent(r.flagged_fraction)),
    fact("Spectral windows", bands.length ? `${bands.length}, ${fixed(bands[0][0] / 1e6, 1)} to ${fixed(bands.at(-1)[1] / 1e6, 1)} MHz` : "–"),
  );
}

/** A figure; numbers of antennas have no decimals. */
const figure = (value) => (Number.isInteger(value) ? value.toLocaleString("en") : digits(value));

const FIGURES = [
  { name: "Order", of: (f) => f.order, number: true },
  { name: "Table", of: (f) => f.type, show: (f) => `${f.type}: ${TITLES[f.type] ?? ""}` },
  { name: "Figure", of: (f) => f.name },
  { name: "Value", of: (f) => f.value, show: (f) => figure(f.value), number: true },
  { name: "Limit", of: (f) => f.limit, show: (f) => (f.limit === null ? "" : `${f.is_most ? "at most" : "at least"} ${digits(f.limit)}`), number: true },
  { name: "Check", of: (f) => (f.is_good ? "passed" : "failed"), show: (f) => (f.value === null ? "" : el("span", { class: `state ${f.is_good ? "complete" : "failed"}` }, f.is_good ? "passed" : "failed")) },
];

/** One row a figure; a table without recorded figures has a row too. */
const figuresOf = (tables) => tables.flatMap((t) => (t.figures.length ? t.figures : [{ name: "not recorded", value: null, limit: null, is_good: true }]).map((f) => ({ ...f, type: t.type, order: t.order })));

const MOST_NAMED = 12;
const someOf = (names) => names.slice(0, MOST_NAMED).join(", ") + (names.length > MOST_NAMED ? ` and ${names.length - MOST_NAMED} more` : "");

/** A chart of one value of all antennas of a table; null if the table doesn't hold it. */
function antennaChart(one, values, { name, label, trivial = null }) {
  const measured = values.flatMap((pair, i) => pair.map((y, receptor) => ({ x: i, y, receptor, antenna: one.antennas[i] }))).filter((p) => p.y !== null);
  if (!measured.length || (trivial !== null && measured.every((p) => Math.abs(p.y - trivial) < TRIVIAL))) return null;
  const missing = one.antennas.filter((_, i) => values[i].some((y) => y === null));
  const domain = range(measured.map((p) => p.y), { margin: 0.08 });
  return chart({
    id: `antennas-${one.type}-${name}`.toLowerCase(),
    title: `${one.type}: ${name} by antenna`,
    gist: `${counted(one.antennas.length, "antennas")}, from ${digits(Math.min(...measured.map((p) => p.y)))} to ${digits(Math.max(...measured.map((p) => p.y)))} ${label}; ${missing.length ? `no solution: ${someOf(missing)}` : "all with solutions"}.`,
    height: 240,
    x: { kind: "linear", label: "Antenna, in the order of the table", domain: [-1, one.antennas.length] },
    y: { kind: "linear", label: `${name} (${label})`, domain },
    draw(plot) {
      RECEPTORS.forEach((_, r) => dots(plot, measured.filter((p) => p.receptor === r), r ? "other" : "main", 5));
      shapes(plot, one.antennas.flatMap((antenna, i) => (missing.includes(antenna) ? [{ x: i, y: domain[0] }] : [])), "cross", "bad", 4);
    },
    points: measured.map((p) => ({ ...p, says: `Antenna ${p.antenna}, ${RECEPTORS[p.receptor]}: ${digits(p.y)} ${label}. ` })),
    legend: [["main", "dots", RECEPTORS[0]], ["other", "dots", RECEPTORS[1]], missing.length && ["bad", "cross", "without a solution"]].filter(Boolean),
    columns: [
      { name: "Antenna", of: (p) => p.antenna },
      { name: "Receptor", of: (p) => p.receptor + 1, number: true },
      { name: label, of: (p) => p.y, show: (p) => digits(p.y, 4), number: true },
    ],
    rows: measured,
  });
}

/** Health of an antenna: dead without any solution in a table, else the worst flagged share. */
function healthOf(solutions) {
  const names = [...new Set(solutions.flatMap((one) => one.antennas))];
  return names.map((antenna) => {
    const shares = solutions.map((one) => one.flagged[one.antennas.indexOf(antenna)] ?? null);
    const worst = Math.max(...shares.flatMap((pair) => pair ?? [1]));
    const dead = shares.filter((pair) => pair === null || pair.every((share) => share >= 1)).length;
    const state = dead === solutions.length ? "dead" : dead ? "no solution in a table" : worst >= 1 ? "one receptor dead" : "works";
    return { antenna, state, worst, shares };
  });
}

const worstOf = (pair) => (pair === null ? null : Math.max(...pair));

function byAntenna(solutions) {
  const rows = healthOf(solutions);
  const bad = rows.filter((r) => r.state !== "works");
  const columns = [
    { name: "Antenna", of: (r) => r.antenna },
    { name: "State", of: (r) => r.state, show: (r) => el("span", { class: `state ${r.state === "works" ? "complete" : "failed"}` }, r.state) },
    ...solutions.map((one, i) => ({ name: `${one.type} flagged`, of: (r) => worstOf(r.shares[i]), show: (r) => (r.shares[i] === null ? "–" : percent(worstOf(r.shares[i]), 0)), number: true })),
    { name: "Worst", of: (r) => r.worst, show: (r) => percent(r.worst, 0), number: true },
  ];
  return [
    el("p", { id: "antenna-health" }, `${rows.length - bad.length} of ${counted(rows.length, "antennas")} work${bad.length ? `; the others: ${someOf(bad.map((r) => `${r.antenna} (${r.state})`))}` : ""}.`),
    solutions.flatMap((one) => [
      one.is_delay ? antennaChart(one, one.delay_ns, { name: "delay", label: "ns" }) : null,
      one.is_delay ? null : antennaChart(one, one.amplitude, { name: "amplitude", label: "relative", trivial: 1 }),
      one.is_delay ? null : antennaChart(one, one.phase_deg, { name: "phase", label: "deg", trivial: 0 }),
    ]),
    table({ id: "antennas", caption: "Antennas: flagged share of the worse receptor in each table", columns, rows, sort: "-Worst" }),
  ].flat(2).filter(Boolean);
}

const APPLIED = [
  { name: "Observation", of: (a) => a.key, show: (a) => observationLink(a.key) },
  { name: "Mid-time (UTC)", of: (a) => a.mid_mjd, show: (a) => utcText(a.mid_mjd) },
  { name: "Borrowed", of: (a) => (a.borrowed ? "yes, outside its window" : "no") },
];

export async function page(index, argument) {
  const cut = argument.lastIndexOf("/");
  const [name, version] = [argument.slice(0, cut), argument.slice(cut + 1)];
  const address = `caltables/${encodeURIComponent(name)}/${encodeURIComponent(version)}`;
  const { record, observation, tables, plots, applied, history, dagster } = await recordOf(address);
  const solutions = el("div", { id: "by-antenna" }, el("p", { class: "dim", role: "status" }, "CASA reads the tables …"));
  recordOf(`${address}/solutions`).then(
    (found) => solutions.replaceChildren(...(found.length ? byAntenna(found) : [el("p", { class: "dim" }, "The tables aren't there any more.")])),
    (error) => solutions.replaceChildren(el("p", { class: "message warn" }, `The tables can't be read: ${error.message}`)),
  );
  const others = record.versions.filter((v) => v !== record.version);
  return [
    el("p", {}, el("a", { href: "#/calibration" }, "All caltable sets")),
    el("h1", { tabindex: -1 }, `Caltable set ${record.name} v${record.version}`),
    el("p", { class: "lead" }, el("span", { class: `state ${record.status}` }, record.status), record.reasons.length ? ` ${record.reasons.join("; ")}` : ""),
    factsOf(record),
    observation ? el("p", { id: "solved-from" }, "Solved from observation ", observationLink(observation)) : record.ms ? el("p", {}, "Solved from ", el("span", { class: "id" }, record.ms)) : null,
    others.length ? el("p", {}, "Other versions: ", listed(others.map((v) => setLink(record.name, v)))) : null,
    observation ? partitions(dagster, observation, ["caltable_set"]) : null,
    record.run_id ? el("p", { class: "dim" }, "run ", inDagster(dagster, `runs/${record.run_id}`, record.run_id)) : null,
    record.notes.length ? el("ul", {}, record.notes.map((note) => el("li", {}, note))) : null,
    el("h2", {}, "Quality"),
    table({ id: "figures", caption: "Figures of its tables, in the order of application, with their limits", columns: FIGURES, rows: figuresOf(tables), sort: "Order", none: "It has no tables." }),
    el("h2", {}, "Antennas"),
    solutions,
    plots.length ? el("h2", {}, "Plots of the solve") : null,
    plots.map((plot, i) => el("details", { class: "solved", open: i === 0 }, el("summary", { id: `plot-${i}` }, plot), el("img", { src: addressOf(`${address}/plots/${i}`), alt: `Plot of the solutions: ${plot}`, loading: "lazy" }))),
    el("h2", {}, "Applied to"),
    table({ id: "applied", caption: "Observations whose products it calibrated", columns: APPLIED, rows: applied, sort: "-Mid-time (UTC)", none: "No products were made with it." }),
    el("h2", {}, "History"),
    el("ol", { class: "marks" }, history.map((e) => el("li", {}, el("strong", {}, e.event), ` ${e.utc.slice(0, 19).replace("T", " ")} UTC by ${e.by}${e.reason ? ": " : ""}`, e.reason ? el("span", { class: "prose" }, e.reason) : null))),
    el("h2", {}, "Tables"),
    el("ul", { id: "tables" }, tables.map((t) => el("li", {}, `${t.order} ${t.type} `, el("span", { class: "id" }, t.path), el("span", { class: "dim id" }, ` ${t.checksum}`)))),
  ].flat(Infinity).filter(Boolean);
}
