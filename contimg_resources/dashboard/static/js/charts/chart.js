// A chart. Belongs here: its frame, axes, legend, selection by pointer and keys, its table.
// Doesn't: drawing marks (see marks.js) and the contents (see the views).

import { el, svg } from "../elements.js";
import { keep } from "../keeping.js";
import { table } from "../tables.js";
import { scaleOf, ticksOf } from "./scales.js";

const TOP = 10;
const RIGHT = 14;
const LEFT = 54;
const NEAR_PX = 22;
const HIGHLIGHT = 0.05;
const DRAWN_PX = 8;

let charts = 0;

function axes(view, x, y, { left, right, top, bottom }) {
  const group = svg("g", { class: "axes", "aria-hidden": "true" });
  const narrow = x.axis.kind === "time" ? 96 : 62;
  for (const tick of ticksOf(x.axis, Math.max(2, (right - left) / narrow))) {
    const at = x(tick.value).toFixed(1);
    if (at < left + 8 && x.axis.kind === "time") continue;
    const anchor = at > right - 24 && x.axis.kind === "time" ? "end" : "middle";
    group.append(svg("path", { class: "grid", d: `M${at} ${top}V${bottom}` }), svg("text", { x: at, y: bottom + 16, "text-anchor": anchor }, tick.text));
    if (tick.below) group.append(svg("text", { class: "dim", x: at, y: bottom + 30, "text-anchor": anchor }, tick.below));
  }
  const own = y.axis.ticks;
  for (const tick of own ?? ticksOf(y.axis, Math.max(2, (bottom - top) / 44))) {
    const at = y(tick.value).toFixed(1);
    if (!own) group.append(svg("path", { class: "grid", d: `M${left} ${at}H${right}` }));
    group.append(svg("text", { x: left - 7, y: Number(at) + 4, "text-anchor": "end" }, tick.text));
  }
  const below = x.axis.kind === "time" ? 46 : 34;
  group.append(
    svg("rect", { class: "frame", x: left, y: top, width: right - left, height: bottom - top }),
    svg("text", { class: "label", x: (left + right) / 2, y: bottom + below, "text-anchor": "middle" }, x.axis.label),
    svg("text", { class: "label", transform: `translate(13 ${(top + bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, y.axis.label),
  );
  view.append(group);
}

function swatch(kind, shape) {
  const inside = {
    dots: () => svg("path", { class: `dots ${kind}`, d: "M9 7h0", "stroke-width": 7 }),
    line: () => svg("path", { class: `line ${kind}`, d: "M1 7H17" }),
    box: () => svg("rect", { class: `box ${kind}`, x: 1, y: 2, width: 16, height: 10 }),
    ring: () => svg("circle", { class: `shape ${kind}`, cx: 9, cy: 7, r: 4.5 }),
    diamond: () => svg("path", { class: `shape ${kind}`, d: "M9 2l5 5l-5 5l-5 -5z" }),
    cross: () => svg("path", { class: `shape ${kind}`, d: "M5 3l8 8M5 11l8 -8" }),
    bar: () => svg("path", { class: `shape ${kind}`, d: "M9 1v12" }),
  };
  return svg("svg", { class: "swatch", width: 18, height: 14, "aria-hidden": "true" }, inside[shape]());
}

/** Return a hint on how to get details. */
function hintOf(zoomed, brushed) {
  if (!matchMedia("(hover: hover)").matches) return "Touch a point for details.";
  return `For details, point at the data or use the arrow keys.${zoomed ? " Drag to zoom." : brushed ? " Drag a rectangle to select." : ""}`;
}

/**
 * Make a chart.
 *
 * id, title; gist: summary in a sentence; x, y: {kind: linear | log | time, label, domain};
 * draw(plot): draws with marks.js; points: [{x, y, says, open?, highlighted?}] for selection by pointer and keys,
 * in the order of the keys, `open` is the address of a point's view; legend: [[class, shape, text]];
 * rows, columns: its table; zoomed(start, end): called after a span was drawn with the mouse;
 * brushed([x1, x2], [y1, y2]): called after a rectangle was drawn instead.
 */
export function chart({ id, title, gist, height = 320, x, y, draw, points = [], legend = [], columns = null, rows = [], zoomed = null, brushed = null }) {
  const number = ++charts;
  const kept = keep(`chart:${id}`, { at: null, says: null, open: false });
  // In a newer export the same point may have another index.
  const found = kept.says === null ? -1 : points.findIndex((point) => point.says === kept.says);
  kept.at = found < 0 ? null : found;
  const readout = el("p", { class: "readout", role: "status" }, el("span", { class: "dim" }, points.length ? hintOf(zoomed, brushed) : "No data."));
  const hint = points.length ? `${points.length.toLocaleString("en")} points: select with the arrow keys, open with Enter.` : "";
  const frame = el("div", {
    class: `plot${zoomed || brushed ? " zooms" : ""}`,
    id,
    tabindex: points.length ? 0 : null,
    role: "group",
    "aria-roledescription": "chart",
    "aria-label": `${title}. ${hint}`,
  });
  // Pixel positions of the points, which the pointer reads sixty times a second.
  const pixels = new Float32Array(2 * points.length);
  let plot = null;
  let cursor = null;
  let clip = null;

  function render(width) {
    const inside = { left: LEFT, right: width - RIGHT, top: TOP, bottom: height - (x.kind === "time" ? 56 : 44) };
    const across = Object.assign(scaleOf(x, inside.left, inside.right), { axis: x });
    const up = Object.assign(scaleOf(y, inside.bottom, inside.top), { axis: y });
    const name = `clip-${number}`;
    const view = svg(
      "svg",
      { role: "img", width, height, viewBox: `0 0 ${width} ${height}`, "aria-labelledby": `title-${number} gist-${number}` },
      svg("title", { id: `title-${number}` }, title),
      svg("desc", { id: `gist-${number}` }, gist),
      svg("clipPath", { id: name }, svg("rect", { x: inside.left, y: inside.top, width: Math.max(0, inside.right - inside.left), height: inside.bottom - inside.top })),
    );
    axes(view, across, up, inside);
    clip = svg("g", { "clip-path": `url(#${name})` });
    cursor = svg("circle", { class: "cursor", r: 8, visibility: "hidden" });
    view.append(clip, cursor);
    plot = { ...inside, x: across, y: up, add: (element) => clip.append(element) };
    draw(plot);
    points.forEach((point, i) => {
      pixels[2 * i] = across(point.x);
      pixels[2 * i + 1] = up(point.y);
    });
    frame.replaceChildren(view);
    if (kept.at !== null) point(kept.at);
  }

  function point(i) {
    kept.at = points[i] ? i : null;
    if (!points[i]) return;
    const { x: px, y: py, says, open } = points[i];
    kept.says = says;
    cursor.setAttribute("cx", plot.x(px));
    cursor.setAttribute("cy", plot.y(py));
    cursor.setAttribute("visibility", "visible");
    readout.replaceChildren(says, open ? el("a", { href: open }, "open") : "");
  }

  function nearest(event) {
    const edge = frame.getBoundingClientRect();
    const [atX, atY] = [event.clientX - edge.left, event.clientY - edge.top];
    let [best, least] = [null, NEAR_PX ** 2];
    for (let i = 0; i < points.length; i++) {
      const distance = (pixels[2 * i] - atX) ** 2 + (pixels[2 * i + 1] - atY) ** 2;
      if (!(distance < NEAR_PX ** 2)) continue;
      // In a crowd, highlighted points are preferred.
      const weighed = points[i].highlighted ? distance * HIGHLIGHT : distance;
      if (weighed < least) [best, least] = [i, weighed];
    }
    return best;
  }

  frame.addEventListener("keydown", (event) => {
    const last = points.length - 1;
    const at = kept.at ?? -1;
    const steps = { ArrowRight: at + 1, ArrowUp: at + 1, ArrowLeft: at - 1, ArrowDown: at - 1, PageDown: at + 20, PageUp: at - 20, Home: 0, End: last };
    if (event.key in steps && points.length) {
      event.preventDefault();
      point(Math.min(last, Math.max(0, steps[event.key])));
    } else if (event.key === "Enter" && points[at]?.open) location.hash = points[at].open;
  });
  /** Where the pointer is in the frame, at most at an edge of the plot. */
  function within(event, edge = frame.getBoundingClientRect()) {
    return { x: Math.min(plot.right, Math.max(plot.left, event.clientX - edge.left)), y: Math.min(plot.bottom, Math.max(plot.top, event.clientY - edge.top)) };
  }
  // At most one search per frame, however often the pointer moves.
  let moved = null;
  let began = null;
  let drawn = null;
  frame.addEventListener("pointermove", (event) => {
    if (began !== null && drawn) {
      const edge = frame.getBoundingClientRect();
      const now = within(event, edge);
      drawn.setAttribute("x", Math.min(began.x, now.x));
      drawn.setAttribute("width", Math.abs(now.x - began.x));
      if (brushed) {
        drawn.setAttribute("y", Math.min(began.y, now.y));
        drawn.setAttribute("height", Math.abs(now.y - began.y));
      }
      return;
    }
    if (!moved) requestAnimationFrame(() => {
      const found = plot && nearest(moved);
      if (found !== null) point(found);
      moved = null;
    });
    moved = event;
  });
  frame.addEventListener("pointerdown", (event) => {
    if (!(zoomed || brushed) || event.pointerType !== "mouse" || event.button !== 0) return;
    began = within(event);
    const size = brushed ? { y: began.y, height: 0 } : { y: plot.top, height: plot.bottom - plot.top };
    drawn = svg("rect", { class: "box drawn", x: began.x, width: 0, ...size });
    clip.append(drawn);
    frame.setPointerCapture(event.pointerId);
  });
  frame.addEventListener("pointerup", (event) => {
    const from = began;
    drawn?.remove();
    began = drawn = null;
    const to = within(event);
    if (from !== null && Math.abs(to.x - from.x) > DRAWN_PX) {
      const ends = [from.x, to.x].sort((a, b) => a - b).map(plot.x.invert);
      if (brushed) brushed(ends, [from.y, to.y].sort((a, b) => b - a).map(plot.y.invert));
      else zoomed(...ends);
      return;
    }
    const found = nearest(event);
    if (found !== null) {
      point(found);
      if (points[found].open && event.pointerType === "mouse") location.hash = points[found].open;
    }
  });

  let drawnWidth = 0;
  new ResizeObserver(() => {
    const width = Math.floor(frame.clientWidth);
    if (width > 0 && width !== drawnWidth) render((drawnWidth = width));
  }).observe(frame);

  const asTable = el("details", { class: "as-table" }, el("summary", { id: `${id}-table` }, "Show as table"));
  const fill = () => {
    kept.open = asTable.open;
    if (asTable.open && asTable.children.length === 1) asTable.append(table({ id: `${id}-rows`, caption: title, columns, rows }));
  };
  asTable.addEventListener("toggle", fill);
  if (columns && kept.open) asTable.open = true;

  return el(
    "figure",
    { class: "chart" },
    el("figcaption", {}, el("strong", {}, title), " ", el("span", { class: "dim" }, gist)),
    frame,
    legend.length ? el("ul", { class: "legend" }, legend.map(([kind, shape, text]) => el("li", {}, swatch(kind, shape), text))) : null,
    readout,
    columns ? asTable : null,
  );
}
