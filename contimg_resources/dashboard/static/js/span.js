// Choosing a time span. Belongs here: its controls. Doesn't: drawing.

import { choice, el } from "./elements.js";
import { keep } from "./keeping.js";
import { dayText, mjdOf } from "./times.js";

const LENGTHS = [["all", "all data"], ["1", "last day"], ["7", "last 7 days"], ["30", "last 30 days"], ["90", "last 90 days"], ["365", "last year"], ["own", "custom"]];

/** Parse a typed date or MJD; the span includes the whole of a typed day. */
function parsed(text, key) {
  if (/^\d{5}(\.\d*)?$/.test(text)) return Number(text);
  const day = /^\d{4}-\d{2}-\d{2}$/.test(text) ? mjdOf(Date.parse(text)) : NaN;
  return Number.isFinite(day) ? day + (key === "to" ? 1 : 0) : null;
}

/** Make controls for a span within [first, last], MJD; `changed` is called after a change. */
export function spanControl({ id, first, last, initial = "all", changed }) {
  const chosen = keep(`span:${id}`, { length: initial, from: null, to: null });
  const day = (label, key) => {
    const input = el("input", {
      type: "text",
      id: `${id}-${key}`,
      size: 11,
      autocomplete: "off",
      placeholder: "2026-01-31",
      title: "UTC date such as 2026-01-31, or MJD",
      change: () => {
        const mjd = parsed(input.value.trim(), key);
        input.setAttribute("aria-invalid", String(mjd === null));
        if (mjd !== null) set(mjd, key);
      },
    });
    return [input, el("label", { class: "control" }, el("span", {}, label), input)];
  };
  const [from, fromControl] = day("From (UTC)", "from");
  const [to, toControl] = day("To (UTC)", "to");
  const lengths = choice(`${id}-length`, "Time", LENGTHS, chosen.length, (value) => {
    if (value === "own") [chosen.from, chosen.to] = span();
    chosen.length = value;
    update();
  });
  const select = lengths.querySelector("select");
  function span() {
    if (chosen.length === "all") return [first, last];
    if (chosen.length !== "own") return [last - Number(chosen.length), last];
    return chosen.from < chosen.to ? [chosen.from, chosen.to] : [first, last];
  }
  function set(mjd, key) {
    [chosen.from, chosen.to] = span();
    chosen.length = "own";
    chosen[key] = mjd;
    update();
  }
  function say() {
    const [start, end] = span();
    from.value = dayText(start);
    to.value = dayText(end - 1e-6);
    select.value = chosen.length;
    for (const input of [from, to]) input.removeAttribute("aria-invalid");
  }
  function update() {
    say();
    changed();
  }
  say();
  return {
    element: el("div", { class: "controls", role: "group", "aria-label": "Time span" }, lengths, fromControl, toControl),
    span,
    /** Set a span that was drawn with the pointer. */
    zoom(start, end) {
      Object.assign(chosen, { length: "own", from: start, to: end });
      update();
    },
  };
}
