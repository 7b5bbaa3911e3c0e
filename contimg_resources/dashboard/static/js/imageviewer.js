// An image at full resolution. Belongs here: layers, zoom, pan, coordinates and value under the
// pointer, sources drawn over it, blinking. Doesn't: where images come from.

import { choice, el, svg } from "./elements.js";
import { keep } from "./keeping.js";
import { digits, position } from "./numbers.js";

const RAD = Math.PI / 180;
const LEAST = 1;
/** The picture may be magnified to this many screen pixels a pixel of the image. */
const MOST_PX = 64;
/** Strips are shown in a frame at most this many times wider than high. */
const WIDEST = 1.8;
const BLINK_MS = 800;
const SETTLED_MS = 150;

/** Distance from the centre of a projection, radians, of a direction with cosine n to it, over its sine. */
const stretch = (grid, n) => (grid.projection === "ZEA" ? Math.sqrt(2 / (1 + n)) : 1);

/** Return {ra, dec} in degrees of a pixel (from 0) of a SIN or ZEA projection; null outside the sky. */
export function skyOf(grid, x, y) {
  let [l, m] = [(x + 1 - grid.crpix[0]) * grid.cdelt[0] * RAD, (y + 1 - grid.crpix[1]) * grid.cdelt[1] * RAD];
  const r2 = l * l + m * m;
  let n;
  if (grid.projection === "ZEA") {
    if (r2 > 4) return null;
    n = 1 - r2 / 2;
    [l, m] = [l, m].map((v) => v * Math.sqrt(1 - r2 / 4));
  } else {
    if (r2 > 1) return null;
    n = Math.sqrt(1 - r2);
  }
  const d0 = grid.crval[1] * RAD;
  const dec = Math.asin(Math.max(-1, Math.min(1, m * Math.cos(d0) + n * Math.sin(d0))));
  const ra = grid.crval[0] + Math.atan2(l, n * Math.cos(d0) - m * Math.sin(d0)) / RAD;
  return { ra: (ra + 360) % 360, dec: dec / RAD };
}

/** Return the pixel {x, y} (from 0) of a place; null if it is behind the sky plane. */
export function pixelOf(grid, { ra, dec }) {
  const [d, d0, a] = [dec * RAD, grid.crval[1] * RAD, (ra - grid.crval[0]) * RAD];
  const n = Math.sin(d) * Math.sin(d0) + Math.cos(d) * Math.cos(d0) * Math.cos(a);
  if (n <= 0) return null;
  const k = stretch(grid, n) / RAD;
  const [l, m] = [Math.cos(d) * Math.sin(a), Math.sin(d) * Math.cos(d0) - Math.cos(d) * Math.sin(d0) * Math.cos(a)];
  return { x: (l * k) / grid.cdelt[0] + grid.crpix[0] - 1, y: (m * k) / grid.cdelt[1] + grid.crpix[1] - 1 };
}

/**
 * Make a viewer. `layers` are {kind, name, columns, rows, unit, src, step?, crval?, crpix?, cdelt?,
 * projection?}, the picture in `src` shows means of `step` × `step` pixels; `part(layer, box)` returns
 * the address of a part {x, y, columns, rows} in all its pixels; `places` are {ra, dec, name, href,
 * kind}; `valueAt(layer, x, y)` returns a promise of a value.
 */
export function imageViewer({ id, layers, places, valueAt, part = null }) {
  const others = layers.filter((one) => one.columns === layers[0].columns && one.rows === layers[0].rows);
  const other = (others.find((one) => one.epoch) ?? others.find((one) => one.kind !== layers[0].kind))?.kind ?? "";
  const seen = keep(`viewer:${id}`, { kind: layers[0].kind, blink: other, scale: 1, x: 0.5, y: 0.5, marked: true });
  let layer = layers.find((one) => one.kind === seen.kind) ?? layers[0];
  const image = el("img", { alt: "", draggable: "false" });
  const detail = el("img", { alt: "", class: "detail", draggable: "false", hidden: true });
  const over = svg("svg", { class: "over", "aria-hidden": "true" });
  const paper = el("div", { class: "paper" }, image, layers.some((one) => (one.step ?? 1) > 1) ? detail : null, over);
  const frame = el("div", { class: "viewer", id, tabindex: 0, role: "application", "aria-label": "Image: drag or arrow keys move it, wheel or + and − zoom, 0 shows all" }, paper);
  const said = el("p", { class: "dim", id: `${id}-says`, role: "status" }, "Point at the image for coordinates and flux density.");
  const name = el("p", { class: "shown", id: `${id}-shown` });
  image.addEventListener("load", () => (name.textContent = layer.name));
  image.addEventListener("error", () => (name.textContent = `${layer.name} can't be loaded.`));
  let asked = 0;
  let settling = null;
  /** The shape of a strip exceeds that of the frame by this factor. */
  let tall = 1;

  function lay() {
    seen.scale = Math.min(mostOf(), Math.max(LEAST, seen.scale));
    const halves = [0.5 / seen.scale, (tall * 0.5) / seen.scale].map((half) => Math.min(0.5, half));
    [seen.x, seen.y] = [seen.x, seen.y].map((v, i) => Math.min(1 - halves[i], Math.max(halves[i], v)));
    // Positions are fractions of the paper, which is as wide as the frame.
    paper.style.transform = `translate(${(0.5 - seen.x * seen.scale) * 100}%, ${(0.5 * tall - seen.y * seen.scale) * 100}%) scale(${seen.scale})`;
    over.style.setProperty("--thin", String(1 / seen.scale));
    // Marks grow less than the image, so that they leave room for what they mark.
    over.style.setProperty("--radius", String((7 * layer.columns) / 1000 / seen.scale ** 0.7));
    const magnified = (seen.scale * frame.clientWidth) / layer.columns;
    image.classList.toggle("pixels", magnified > 2);
    detail.classList.toggle("pixels", magnified > 2);
    clearTimeout(settling);
    if (part && (layer.step ?? 1) > 1) settling = setTimeout(refine, SETTLED_MS);
  }
  const mostOf = () => Math.max(MOST_PX, (layer.columns * MOST_PX) / 1000);

  /** Replace what is in view by its own pixels, where the picture shows means of several. */
  function refine() {
    if (seen.scale * frame.clientWidth <= layer.columns / layer.step) {
      detail.hidden = true;
      return;
    }
    const [w, h] = [layer.columns / seen.scale, (layer.rows * tall) / seen.scale];
    const x = Math.max(0, Math.floor(seen.x * layer.columns - w / 2));
    const top = Math.max(0, Math.floor(seen.y * layer.rows - h / 2));
    const box = { x, columns: Math.min(layer.columns - x, Math.ceil(w) + 1), rows: Math.min(layer.rows - top, Math.ceil(h) + 1) };
    box.y = layer.rows - top - box.rows;
    const mine = layer;
    const src = part(layer, box);
    const next = new Image();
    next.onload = () => {
      if (mine !== layer) return;
      detail.src = src;
      const share = (v, of) => `${(100 * v) / of}%`;
      Object.assign(detail.style, { left: share(box.x, layer.columns), top: share(top, layer.rows), width: share(box.columns, layer.columns), height: share(box.rows, layer.rows) });
      detail.hidden = false;
    };
    next.src = src;
  }
  function show(kind, { remembered = true } = {}) {
    layer = layers.find((one) => one.kind === kind) ?? layers[0];
    if (remembered) seen.kind = layer.kind;
    const aspect = layer.columns / layer.rows;
    tall = Math.max(1, aspect / WIDEST);
    frame.style.setProperty("--aspect", String(Math.min(aspect, WIDEST)));
    paper.style.aspectRatio = `${layer.columns} / ${layer.rows}`;
    detail.hidden = true;
    image.src = layer.src;
    const mine = layer;
    setTimeout(() => { if (mine === layer && !image.complete) name.textContent = `${layer.name}: loading …`; }, SETTLED_MS);
    image.alt = `${layer.name}, ${layer.columns} × ${layer.rows} pixels`;
    name.textContent = layer.name;
    over.setAttribute("viewBox", `-0.5 -0.5 ${layer.columns} ${layer.rows}`);
    over.style.setProperty("--pixel", String(layer.columns / 1000));
    const drawn = layer.crval && seen.marked && layer.kind !== "psf" ? places.map((place) => ({ ...place, at: pixelOf(layer, place) })).filter(({ at }) => at && at.x > 0 && at.y > 0 && at.x < layer.columns && at.y < layer.rows) : [];
    over.replaceChildren(...drawn.map(({ at, name: said, href, kind: what }) => svg("a", { href, tabindex: -1 }, svg("circle", { cx: at.x, cy: layer.rows - 1 - at.y, r: layer.columns / 150, class: what }, svg("title", {}, said)))));
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
    const [px, py] = [seen.x + (u - 0.5) / seen.scale, seen.y + ((v - 0.5) * tall) / seen.scale];
    seen.scale = Math.min(mostOf(), Math.max(LEAST, seen.scale * factor));
    [seen.x, seen.y] = [px - (u - 0.5) / seen.scale, py - ((v - 0.5) * tall) / seen.scale];
    lay();
  }
  let held = null;
  frame.addEventListener("wheel", (event) => { event.preventDefault(); zoom(event.deltaY < 0 ? 1.25 : 0.8, event); }, { passive: false });
  frame.addEventListener("pointerdown", (event) => { held = { x: event.clientX, y: event.clientY, moved: false }; });
  frame.addEventListener("pointermove", (event) => {
    if (!held || !event.buttons) { point(event); return; }
    seen.x -= (event.clientX - held.x) / (paper.clientWidth * seen.scale);
    seen.y -= (event.clientY - held.y) / (paper.clientHeight * seen.scale);
    held = { x: event.clientX, y: event.clientY, moved: true };
    lay();
  });
  // A drag that ends on a source doesn't open it.
  frame.addEventListener("click", (event) => { if (held?.moved) event.preventDefault(); held = null; }, { capture: true });
  frame.addEventListener("keydown", (event) => {
    const step = 0.1 / seen.scale;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step * tall], ArrowDown: [0, step * tall] };
    if (moves[event.key]) { seen.x += moves[event.key][0]; seen.y += moves[event.key][1]; lay(); }
    else if (event.key === "+" || event.key === "=") zoom(1.5);
    else if (event.key === "-") zoom(1 / 1.5);
    else if (event.key === "0") { Object.assign(seen, { scale: 1, x: 0.5, y: 0.5 }); lay(); }
    else if (event.key === "b" && layers.length > 1) blink(!blinking);
    else return;
    event.preventDefault();
  });
  const marked = el("input", { type: "checkbox", id: `${id}-marked`, checked: seen.marked, change: () => { seen.marked = marked.checked; show(layer.kind); } });
  const chooser = choice(`${id}-layer`, "Layer", layers.map((one) => [one.kind, one.name]), layer.kind, (kind) => { blink(false); show(kind); });

  let blinking = null;
  if (!others.some((one) => one.kind === seen.blink)) seen.blink = other;
  const press = el("button", { type: "button", id: `${id}-blink`, "aria-pressed": "false", click: () => blink(!blinking) }, "Blink");
  /** Alternate between the layer and another one; the picture stays where it is. */
  function blink(on) {
    clearInterval(blinking);
    blinking = null;
    press.setAttribute("aria-pressed", String(on));
    if (layer.kind !== seen.kind) show(seen.kind);
    if (!on) return;
    const turn = () => {
      // Ends with the page.
      if (!frame.isConnected) { clearInterval(blinking); return; }
      show(layer.kind === seen.kind ? seen.blink : seen.kind, { remembered: false });
    };
    blinking = setInterval(turn, BLINK_MS);
    turn();
  }
  show(layer.kind);
  const withOther = others.length > 1 ? [choice(`${id}-with`, "Blink with", others.map((one) => [one.kind, one.name]), seen.blink, (kind) => { seen.blink = kind; if (blinking) blink(true); }), press] : [];
  return [
    el("div", { class: "controls" }, chooser, el("button", { type: "button", id: `${id}-in`, click: () => zoom(1.5) }, "Zoom in"), el("button", { type: "button", id: `${id}-out`, click: () => zoom(1 / 1.5) }, "Zoom out"), withOther, el("label", { class: "tick" }, marked, " sources")),
    frame,
    name,
    said,
  ];
}
