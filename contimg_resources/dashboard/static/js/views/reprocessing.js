// Reprocessing a day. Belongs here: the form, where a platform runs and the person is known. Doesn't:
// the list of observations.

import { choice, el } from "../elements.js";
import { keep } from "../keeping.js";
import { ask, isLive } from "../live.js";
import { dayText } from "../times.js";

const STEPS = { measurement_set: "measurement set", calibrated_ms: "calibrated MS", image_5min: "5-minute image" };

/** Make the form, for the day of an MJD at first; null where nothing can be launched. */
export async function reprocessing(mjd) {
  const can = isLive ? await ask("reprocess").catch(() => null) : null;
  if (!can?.steps.length) return null;
  const chosen = keep("reprocessing", { day: dayText(mjd), only: "stale", step: "calibrated_ms" });
  const said = el("p", { role: "status", id: "reprocess-said" });
  const day = el("input", { type: "date", id: "reprocess-day", value: chosen.day, min: can.first_day, required: true, input: () => (chosen.day = day.value) });
  const button = el("button", { id: "reprocess-launch" }, "Reprocess");
  const launch = async (event) => {
    event.preventDefault();
    button.disabled = true;
    said.textContent = "Launching …";
    try {
      const { run } = await ask("reprocess", "POST", chosen);
      said.replaceChildren("A run was launched. At its end ", el("a", { href: run, rel: "noreferrer noopener", target: "_blank" }, "its page in Dagster"), " lists the observations that were left out, and leads to the backfill of the others.");
    } catch (error) {
      said.textContent = `${error.message}.`;
    } finally {
      button.disabled = false;
    }
  };
  return el(
    "details",
    {},
    el("summary", { id: "reprocess" }, "Reprocess a day"),
    el(
      "form",
      { class: "controls", submit: launch },
      el("label", { class: "control" }, el("span", {}, "UTC day"), day),
      choice("reprocess-only", "Observations", can.which.map((w) => [w, w]), chosen.only, (value) => (chosen.only = value)),
      choice("reprocess-step", "First step; all later ones follow", can.steps.map((s) => [s, STEPS[s] ?? s]), chosen.step, (value) => (chosen.step = value)),
      button,
    ),
    said,
  );
}
