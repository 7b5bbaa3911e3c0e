// Sortable tables. Belongs here: one table of rows. Doesn't: choosing rows.

import { el } from "./elements.js";
import { keep } from "./keeping.js";

const SHOWN = 50;
const MORE = 200;

const compare = (a, b) => {
  const none = (v) => v === null || v === undefined || v === "";
  // Missing values are last in either order.
  if (none(a) || none(b)) return null;
  return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
};

function sorted(rows, column, down) {
  if (!column) return rows;
  const keyed = rows.map((row) => [column.of(row), row]);
  const absent = (v) => v === null || v === undefined || v === "";
  return [...keyed.filter(([k]) => !absent(k)).sort(([a], [b]) => (down ? -1 : 1) * compare(a, b)), ...keyed.filter(([k]) => absent(k))].map(([, row]) => row);
}

/**
 * Make a table. Columns are {name, of(row), show(row)?, number?}: `of` is the sort key, `show` the
 * displayed value. `sort` is the initial sort column, with a "-" before it for descending.
 */
export function table({ id, caption, columns, rows, sort = null, none = "None." }) {
  if (!rows.length) return el("p", { class: "dim" }, none);
  const chosen = keep(`table:${id}`, { by: sort?.replace(/^-/, "") ?? null, down: sort?.startsWith("-") ?? false, shown: SHOWN });
  const body = el("tbody");
  const more = el("button", { type: "button", id: `${id}-more`, click: () => { chosen.shown += MORE; draw(); } });
  const headings = columns.map((column, i) => {
    const press = () => {
      // Numbers are first sorted in descending order.
      chosen.down = chosen.by === column.name ? !chosen.down : Boolean(column.number);
      chosen.by = column.name;
      draw();
    };
    return el("th", { scope: "col", class: column.number ? "number" : null }, el("button", { type: "button", id: `${id}-sort-${i}`, click: press }, column.name));
  });
  function draw() {
    const column = columns.find((c) => c.name === chosen.by);
    headings.forEach((heading, i) => {
      if (columns[i] === column) heading.setAttribute("aria-sort", chosen.down ? "descending" : "ascending");
      else heading.removeAttribute("aria-sort");
    });
    body.replaceChildren(
      ...sorted(rows, column, chosen.down)
        .slice(0, chosen.shown)
        .map((row) => el("tr", {}, columns.map((c) => el("td", { class: c.number ? "number" : null }, (c.show ?? c.of)(row) ?? "–")))),
    );
    const left = rows.length - chosen.shown;
    more.hidden = left <= 0;
    more.textContent = `Show ${Math.min(MORE, left).toLocaleString("en")} more of ${left.toLocaleString("en")}`;
  }
  draw();
  return el(
    "div",
    { class: "table" },
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption }, el("table", {}, el("caption", {}, caption), el("thead", {}, el("tr", {}, headings)), body)),
    more,
  );
}
