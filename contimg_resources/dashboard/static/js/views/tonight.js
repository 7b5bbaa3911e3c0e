// Status of the night. Belongs here: the status in the index, candidates in progress.
// Doesn't: history.

import { el } from "../elements.js";
import { isLive } from "../live.js";
import { loadDocument, OLD_DAYS } from "../loading.js";
import { counted, digits, fixed } from "../numbers.js";
import { observationLink } from "../pages.js";
import { lengthText, nowMjd, utcText } from "../times.js";
import { candidateTable } from "./candidates.js";

export const title = "Tonight";
export const needs = ["candidates"];

/** Ratio of rms to expected rms that needs attention. */
const HIGH_RMS = 1.5;
const SOON_DAYS = 3 / 24;
/** An image is made every five minutes. */
const LATE_DAYS = 30 / 1440;

/** What has become wrong by the clock, which an export can't know. */
function presentProblems(index, now) {
  const { status } = index;
  const found = [];
  const age = now - index.generated_mjd;
  if (age > OLD_DAYS) found.push(`This page shows an export that is ${lengthText(age)} old: is the platform running?`);
  const silent = status.end_mjd === null ? 0 : now - status.end_mjd;
  if (status.silence_min && silent > status.silence_min / 1440) found.push(`No observation for ${lengthText(silent)}: is the correlator running?`);
  if (status.active_set && status.active_set_until_mjd !== null && status.active_set_until_mjd <= now) found.push(`No caltable set is valid now: ${status.active_set} expired ${lengthText(now - status.active_set_until_mjd)} ago.`);
  return found;
}

const STATES = ["imaged", "calibrated", "solved", "arrived", "waiting", "interrupted", "failed"];

function tile(name, value, details, kind = "") {
  return el("section", { class: `tile ${kind}` }, el("h2", {}, name), el("p", { class: "value" }, value), [details].flat().filter(Boolean).map((line) => el("p", { class: "dim" }, line)));
}

function image(status, index, now) {
  if (status.last_image_mjd === null) return tile("Last image", "none", "No images in these 24 hours.", "warn");
  const age = now - status.last_image_mjd;
  // Without a newer export the images since then are unknown.
  return tile(
    "Last image",
    `${lengthText(age)} ago`,
    [`${utcText(status.last_image_mjd)} UTC, ${lengthText(index.generated_mjd - status.last_image_mjd)} before the export`],
    age > LATE_DAYS ? "warn" : "",
  );
}

function noise(status) {
  if (status.median_rms_mjy === null) return tile("Median rms", "–", "No images were measured.");
  const ratio = status.median_rms_ratio;
  return tile("Median rms", `${digits(status.median_rms_mjy)} mJy`, ratio === null ? "The expected rms is unknown." : `${fixed(ratio, 2)} × the expected rms${ratio > HIGH_RMS ? ": high" : ""}`, ratio > HIGH_RMS ? "warn" : "");
}

function calibration(status, now) {
  if (!status.active_set) return tile("Caltable set", "none valid", "No set is valid for the latest observation.", "bad");
  const name = el("span", { class: "id" }, status.active_set);
  const until = status.active_set_until_mjd;
  if (until === null) return tile("Caltable set", name, "Its validity window is unknown.");
  const left = until - now;
  return tile("Caltable set", name, [left > 0 ? `valid for ${lengthText(left)} more` : `expired ${lengthText(left)} ago`, `until ${utcText(until)} UTC`], left <= 0 ? "bad" : left < SOON_DAYS ? "warn" : "");
}

function counts(status) {
  const order = (state) => (STATES.includes(state) ? STATES.indexOf(state) : STATES.length);
  const found = [...status.counts].sort((a, b) => order(a.state) - order(b.state));
  const all = found.reduce((sum, c) => sum + c.n, 0);
  return el(
    "section",
    { class: "panel" },
    el("h2", {}, "Observations"),
    all
      ? [
          el("div", { class: "shares", "aria-hidden": "true" }, found.filter((c) => c.n).map((c) => {
            const share = el("span", { class: `state-${order(c.state)}` });
            share.style.flexGrow = c.n;
            return share;
          })),
          el("ul", { class: "counts" }, found.map((c) => el("li", {}, el("span", { class: `key state-${order(c.state)}`, "aria-hidden": "true" }), el("strong", {}, c.n.toLocaleString("en")), ` ${c.state}`))),
        ]
      : el("p", { class: "dim" }, "No observations in these 24 hours."),
    status.last_observation ? el("p", { class: "dim" }, "Latest: ", isLive ? observationLink(status.last_observation) : el("span", { class: "id" }, status.last_observation)) : null,
  );
}

async function events(index) {
  const heading = el("h2", {}, "Candidates in progress");
  const n = (index.pages.candidates ?? []).reduce((sum, page) => sum + page.n_items, 0);
  const all = n ? el("p", {}, el("a", { href: "#/candidates", id: "all-candidates" }, `All candidates (${n.toLocaleString("en")})`)) : null;
  if (!status(index).n_candidates_in_progress) return el("section", { class: "panel" }, heading, el("p", { class: "dim" }, "None."), all);
  let inside;
  try {
    const document = await loadDocument(index, "candidates");
    inside = candidateTable((document?.candidates ?? []).filter((c) => c.state === "in progress"), "tonight-candidates");
  } catch (error) {
    inside = el("p", { class: "message bad" }, error.message);
  }
  return el("section", { class: "panel" }, heading, inside, all);
}

const status = (index) => index.status;

export async function show(index) {
  const { status } = index;
  const now = nowMjd();
  const problems = [...presentProblems(index, now), ...status.problems];
  const span = status.end_mjd === null ? "No observations yet." : `${utcText(status.start_mjd)} to ${utcText(status.end_mjd)} UTC (MJD ${fixed(status.start_mjd, 3)} to ${fixed(status.end_mjd, 3)}): the 24 hours before the latest observation's end.`;
  return [
    el("h1", { tabindex: -1 }, status.end_mjd !== null && now - status.end_mjd > 1 ? "The latest night" : title),
    el("p", { class: "lead" }, span),
    el(
      "section",
      { class: `panel ${problems.length ? "warn" : "good"}`, id: "problems" },
      el("h2", {}, problems.length ? `Needs attention: ${counted(problems.length, "problems")}` : "No problems"),
      problems.length ? el("ul", {}, problems.map((problem) => el("li", {}, problem))) : null,
    ),
    el(
      "div",
      { class: "tiles" },
      image(status, index, now),
      noise(status),
      calibration(status, now),
      tile("Observed", `${fixed(status.observed_h, 1)} h`, `${counted(status.n_images, "images")}, ${counted(status.n_mosaics, "mosaics")}`),
      tile("Waiting", status.n_waiting.toLocaleString("en"), ["observations without a valid caltable set", status.n_stale ? `${counted(status.n_stale, "observations")} with stale products` : null], status.n_waiting ? "warn" : ""),
      tile("Failed", status.n_failed.toLocaleString("en"), el("a", { href: "#/observations" }, "observations and reasons"), status.n_failed ? "bad" : ""),
      tile("Variable sources", status.n_variables.toLocaleString("en"), el("a", { href: "#/variables" }, "in the plane of η and V")),
    ),
    counts(status),
    await events(index),
  ];
}
