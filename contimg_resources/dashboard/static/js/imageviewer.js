// An image at full resolution. Belongs here: layers, zoom, pan, coordinates and value under the
// pointer, sources drawn over it. Doesn't: where images come from.

import { choice, el, svg } from "./elements.js";
import { keep } from "./keeping.js";
import { digits, position } from "./numbers.js";

const RAD = Math.PI / 180;
const [LEAST, MOST] = [1, 64];

/** Return {ra, dec} in degrees of a pixel (from 0) of a SIN projection; null outside the sky. */
export function skyOf(grid, x, y) {
  const [l, m] = [(x + 1 - grid.crpix[0]) * grid.cdelt[0] * RAD, (y + 1 - grid.crpix[1]) * grid.cdelt[1] * RAD];
  const n2 = 1 - l * l - m * m;
  if (n2 < 0) return null;
  const [n, d0] = [Math.sqrt(n2), grid.crval[1] * RAD];
  const dec = Math.asin(m * Math.cos(d0) + n * Math.sin(d0));
  const ra = grid.crval[0] + Math.atan2(l, n * Math.cos(d0) - m * Math.sin(d0)) / RAD;
  return { ra: (ra + 360) % 360, dec: dec / RAD };
}

/** Return the pixel {x, y} (from 0) of a place; null if it is behind the sky plane. */
export function pixelOf(grid, { ra, dec }) {
  const [d, d0, a] = [dec * RAD, grid.crval[1] * RAD, (ra - grid.crval[0]) * RAD];
  if (Math.sin(d) * Math.sin(d0) + Math.cos(d) * Math.cos(d0) * Math.cos(a) <= 0) return null;
  const [l, m] = [Math.cos(d) * Math.sin(a), Math.sin(d) * Math.cos(d0) - Math.cos(d) * Math.sin(d0) * Math.cos(a)];
  return { x: l / RAD / grid.cdelt[0] + grid.crpix[0] - 1, y: m / RAD / grid.cdelt[1] + grid.crpix[1] - 1 };
}

/**
 * Make a viewer. `layers` are {kind, name, columns, rows, unit, src, crval?, crpix?, cdelt?};
 * `places` are {ra, dec, name, href, kind}; `valueAt(layer, x, y)` returns a promise of a value.
 */
export function imageViewer({ id, layers, places, valueAt }) {
  const seen = keep(`viewer:${id}`, { kind: layers[0].kind, scale: 1, x: 0.5, y: 0.5, marked: true });
  let layer = layers.find((one) => one.kind === seen.kind) ?? layers[0];
  const image = el("img", { alt: "", draggable: "false" });
  const over = svg("svg", { class: "over", "aria-hidden": "true" });
  const paper = el("div", { class: "paper" }, image, over);
  const frame = el("div", { class: "viewer", id, tabindex: 0, role: "application", "aria-label": "Image: drag or arrow keys move it, wheel or + and − zoom, 0 shows all" }, paper);
  const said = el("p", { class: "dim", id: `${id}-says`, role: "status" }, "Point at the image for coordinates and flux density.");
  let asked = 0;

  function lay() {
    seen.scale = Math.min(MOST, Math.max(LEAST, seen.scale));
    const half = 0.5 / seen.scale;
    [seen.x, seen.y] = [seen.x, seen.y].map((v) => Math.min(1 - half, Math.max(half, v)));
    // Positions in the paper are fractions of the frame, which has its shape.
    paper.style.transform = `scale(${seen.scale}) translate(${(0.5 / seen.scale - seen.x) * 100}%, ${(0.5 / seen.scale - seen.y) * 100}%)`;
    over.style.setProperty("--thin", String(1 / seen.scale));
    image.classList.toggle("pixels", seen.scale * frame.clientWidth > 2 * layer.columns);
  }
  function show(kind) {
    layer = layers.find((one) => one.kind === kind) ?? layers[0];
    seen.kind = layer.kind;
    frame.style.aspectRatio = `${layer.columns} / ${layer.rows}`;
    image.src = layer.src;
    image.alt = `${layer.name}, ${layer.columns} × ${layer.rows} pixels`;
    over.setAttribute("viewBox", `-0.5 -0.5 ${layer.columns} ${layer.rows}`);
    const drawn = layer.crval && seen.marked && layer.kind !== "psf" ? places.map((place) => ({ ...place, at: pixelOf(layer, place) })).filter(({ at }) => at && at.x > 0 && at.y > 0 && at.x < layer.columns && at.y < layer.rows) : [];
    over.replaceChildren(...drawn.map(({ at, name, href, kind: what }) => svg("a", { href, tabindex: -1 }, svg("circle", { cx: at.x, cy: layer.rows - 1 - at.y, r: layer.columns / 150, class: what }, svg("title", {}, name)))));
    lay();
  }
  /** The pixel (from 0, upwards) under the pointer. */
  function under(event) {
    const box = paper.getBoundingClientRect();
    return { x: Math.floor(((event.clientX - box.left) / box.width) * layer.columns), y: layer.rows - 1 - Math.floor(((event.clientY - box.top) / box.height) * layer.rows) };
  }
  async function point(event) {
    const { x, y } = under(event);
    if (x < 0 || y < 0 || x >= layer.columns || y >= layer.rows) return;
    const mine = ++asked;
    const sky = layer.crval ? skyOf(layer, x, y) : null;
    const where = `${sky ? `${position(sky.ra, sky.dec)}, ` : ""}pixel ${x}, ${y}`;
    said.textContent = where;
    // Only where the pointer rests.
    await new Promise((done) => setTimeout(done, 120));
    if (mine !== asked) return;
    const value = await valueAt(layer, x, y).catch(() => undefined);
    if (mine !== asked || value === undefined) return;
    const unit = layer.unit.trim().toLowerCase() === "jy/beam" ? [1e3, " mJy/beam"] : [1, ` ${layer.unit.trim()}`];
    said.textContent = `${where}: ${value === null ? "nothing observed" : digits(value * unit[0], 4) + unit[1]}`;
  }
  function zoom(factor, event = null) {
    const box = frame.getBoundingClientRect();
    const [u, v] = event ? [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height] : [0.5, 0.5];
    // The place under the pointer stays there.
    const [px, py] = [seen.x + (u - 0.5) / seen.scale, seen.y + (v - 0.5) / seen.scale];
    seen.scale = Math.min(MOST, Math.max(LEAST, seen.scale * factor));
    [seen.x, seen.y] = [px - (u - 0.5) / seen.scale, py - (v - 0.5) / seen.scale];
    lay();
  }
  let held = null;
  frame.addEventListener("wheel", (event) => { event.preventDefault(); zoom(event.deltaY < 0 ? 1.25 : 0.8, event); }, { passive: false });
  frame.addEventListener("pointerdown", (event) => { held = { x: event.clientX, y: event.clientY, moved: false }; });
  frame.addEventListener("pointermove", (event) => {
    if (!held || !event.buttons) { point(event); return; }
    const size = frame.clientWidth * seen.scale;
    seen.x -= (event.clientX - held.x) / size;
    seen.y -= (event.clientY - held.y) / size;
    held = { x: event.clientX, y: event.clientY, moved: true };
    lay();
  });
  // A drag that ends on a source doesn't open it.
  frame.addEventListener("click", (event) => { if (held?.moved) event.preventDefault(); held = null; }, { capture: true });
  frame.addEventListener("keydown", (event) => {
    const step = 0.1 / seen.scale;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    if (moves[event.key]) { seen.x += moves[event.key][0]; seen.y += moves[event.key][1]; lay(); }
    else if (event.key === "+" || event.key === "=") zoom(1.5);
    else if (event.key === "-") zoom(1 / 1.5);
    else if (event.key === "0") { Object.assign(seen, { scale: 1, x: 0.5, y: 0.5 }); lay(); }
    else return;
    event.preventDefault();
  });
  const marked = el("input", { type: "checkbox", id: `${id}-marked`, checked: seen.marked, change: () => { seen.marked = marked.checked; show(layer.kind); } });
  show(layer.kind);
  return [
    el("div", { class: "controls" }, choice(`${id}-layer`, "Layer", layers.map((one) => [one.kind, one.name]), layer.kind, show), el("button", { type: "button", id: `${id}-in`, click: () => zoom(1.5) }, "Zoom in"), el("button", { type: "button", id: `${id}-out`, click: () => zoom(1 / 1.5) }, "Zoom out"), el("label", { class: "tick" }, marked, " sources")),
    frame,
    said,
  ];
}
