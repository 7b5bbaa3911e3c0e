// Marks in a chart. Belongs here: dots, bars, lines, bands. Doesn't: axes.
//
// Large clouds are one path each: ten thousand dots cost one element.

import { svg } from "../elements.js";

const p = (pixel) => pixel.toFixed(1);
const here = (x, y) => Number.isFinite(x) && Number.isFinite(y);

/** Draw round dots {x, y} of one class. */
export function dots(plot, points, kind, size = 5) {
  let path = "";
  for (const point of points) {
    const [x, y] = [plot.x(point.x), plot.y(point.y)];
    if (here(x, y)) path += `M${p(x)} ${p(y)}h0`;
  }
  plot.add(svg("path", { class: `dots ${kind}`, d: path, "stroke-width": size }));
}

const SHAPES = {
  ring: (r) => `m${-r} 0a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0`,
  diamond: (r) => `m0 ${-r}l${r} ${r}l${-r} ${r}l${-r} ${-r}z`,
  cross: (r) => `m${-r} ${-r}l${2 * r} ${2 * r}m${-2 * r} 0l${2 * r} ${-2 * r}`,
  bar: (r) => `m0 ${-r}v${2 * r}`,
};

/** Draw shapes {x, y} of one class: ring, diamond, cross or bar. */
export function shapes(plot, points, shape, kind, radius = 5) {
  let path = "";
  for (const point of points) {
    const [x, y] = [plot.x(point.x), plot.y(point.y)];
    if (here(x, y)) path += `M${p(x)} ${p(y)}${SHAPES[shape](radius)}`;
  }
  plot.add(svg("path", { class: `shape ${kind}`, d: path }));
}

/** Draw error bars of points {x, y, error}. */
export function errorBars(plot, points, kind) {
  let path = "";
  for (const { x, y, error } of points) {
    if (!(error > 0)) continue;
    const [at, end, high] = [plot.x(x), plot.y(y - error), plot.y(y + error)];
    // A logarithmic axis has no zero.
    const low = Number.isFinite(end) ? end : plot.bottom;
    if (here(at, low) && here(at, high)) path += `M${p(at)} ${p(low)}V${p(high)}`;
  }
  plot.add(svg("path", { class: `errors ${kind}`, d: path }));
}

/** Draw a line through points {x, y}, interrupted at missing ones. */
export function line(plot, points, kind) {
  let path = "";
  let drawing = false;
  for (const point of points) {
    const [x, y] = [plot.x(point.x), plot.y(point.y)];
    const there = point.y !== null && here(x, y);
    if (there) path += `${drawing ? "L" : "M"}${p(x)} ${p(y)}`;
    drawing = there;
  }
  plot.add(svg("path", { class: `line ${kind}`, d: path }));
}

/** Draw a rectangle from (x1, y1) to (x2, y2); null means the edge. */
export function box(plot, [x1, x2], [y1, y2], kind, attributes = {}) {
  const across = [x1 === null ? plot.left : plot.x(x1), x2 === null ? plot.right : plot.x(x2)].sort((a, b) => a - b);
  const down = [y1 === null ? plot.bottom : plot.y(y1), y2 === null ? plot.top : plot.y(y2)].sort((a, b) => a - b);
  const size = { x: p(across[0]), y: p(down[0]), width: p(Math.max(1, across[1] - across[0])), height: p(Math.max(1, down[1] - down[0])) };
  plot.add(svg("rect", { class: `box ${kind}`, ...size, ...attributes }));
}

/** Draw a rule across the chart at a value of x or of y. */
export function rule(plot, { x = null, y = null }, kind) {
  const path = x !== null ? `M${p(plot.x(x))} ${plot.top}V${plot.bottom}` : `M${plot.left} ${p(plot.y(y))}H${plot.right}`;
  plot.add(svg("path", { class: `rule ${kind}`, d: path }));
}
