// The map of the sky. Belongs here: choosing a map, moving over it, what is drawn over it. Doesn't:
// tiles (see skymap.js), coverage by strips (see sky.js).

import { choice, el } from "../elements.js";
import { pixelOf, skyOf } from "../imageviewer.js";
import { keep } from "../keeping.js";
import { contentOf, isFile } from "../loading.js";
import { counted, digits, fixed, position } from "../numbers.js";
import { placesOf } from "../pages.js";
import { readPosition } from "../places.js";
import { skyMap } from "../skymap.js";

export const title = "Map";
export const needs = ["sources", "candidates"];

const [LEAST_DEG, MOST_DEG] = [0.05, 120];
const HEIGHT = 0.55;
const REST_MS = 150;
const NEAR_PX = 9;
const COLOURS = { steady: "#7fd4ff", variable: "#ffd166", event: "#ff7ad9" };
/** Steady sources are drawn only in a view at most this wide. */
const CROWDED_DEG = 25;

export async function show(index, argument) {
  const heading = el("h1", { tabindex: -1 }, title);
  const layers = await contentOf("sky/layers.json", { cache: "no-cache" });
  if (!layers.length) return [heading, el("p", { class: "message" }, "There is no map of the sky yet: the platform makes it of the first mosaics, and contimg sky does.")];
  const chosen = keep("map", { layer: layers[0].name, ra: null, dec: null, fov: 10, sources: true });
  const layer = layers.find((one) => one.name === chosen.layer) ?? layers[0];
  const root = `sky/${encodeURIComponent(layer.name)}`;
  const [coverage, places] = await Promise.all([contentOf(`${root}/coverage.json`, { cache: "no-cache" }), placesOf(index)]);
  const given = readPosition(argument ?? "");
  if (given) Object.assign(chosen, given);
  if (chosen.ra === null) Object.assign(chosen, { ra: coverage.ra ?? 0, dec: coverage.dec ?? 0 });

  const canvas = el("canvas", { "aria-hidden": "true" });
  const frame = el("div", { class: "skymap", id: "map", tabindex: 0, role: "application", "aria-label": "Map of the sky: drag or arrow keys move it, wheel or + and − zoom" }, canvas);
  const said = el("p", { class: "dim", id: "map-says", role: "status" }, `Point at the map for coordinates${isFile ? "" : " and flux density"}.`);
  const where = el("p", { id: "map-where" });
  const context = canvas.getContext("2d");
  const map = skyMap(root, coverage, () => redraw());
  let grid = null;
  let waiting = false;
  let asked = 0;

  function redraw() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      paint();
    });
  }
  function paint() {
    const width = Math.floor(frame.clientWidth);
    if (!width) return;
    const height = Math.floor(width * Math.max(HEIGHT, Math.min(1, 300 / width)));
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const cell = chosen.fov / width;
    grid = { columns: width, rows: height, projection: "ZEA", crval: [chosen.ra, chosen.dec], crpix: [width / 2 + 0.5, height / 2 + 0.5], cdelt: [-cell, cell] };
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#000";
    context.fillRect(0, 0, width, height);
    const drawn = map.draw(context, grid, { ra: chosen.ra, dec: chosen.dec }, chosen.fov);
    if (chosen.sources) {
      context.lineWidth = 1.5;
      for (const place of places) {
        if (place.kind === "steady" && chosen.fov > CROWDED_DEG) continue;
        const at = screenOf(place);
        if (!at) continue;
        context.strokeStyle = COLOURS[place.kind];
        context.beginPath();
        context.arc(at.x, at.y, place.kind === "event" ? 10 : 6, 0, 2 * Math.PI);
        context.stroke();
      }
    }
    frame.dataset.drawn = `${drawn.order}/${drawn.n}`;
    where.textContent = `Centre ${position(chosen.ra, chosen.dec)}, ${digits(chosen.fov)}° wide; ${counted(drawn.n, "tiles")} of order ${drawn.order}.`;
  }
  /** Place on the canvas; null outside. */
  function screenOf(place) {
    const at = pixelOf(grid, place);
    if (!at || at.x < 0 || at.y < 0 || at.x > grid.columns || at.y > grid.rows) return null;
    return { x: at.x + 0.5, y: grid.rows - 0.5 - at.y };
  }
  function pointAt(event) {
    const box = canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }
  const skyAt = ({ x, y }) => skyOf(grid, x - 0.5, grid.rows - 0.5 - y);
  const near = ({ x, y }) => (chosen.sources ? places.filter((p) => p.kind !== "steady" || chosen.fov <= CROWDED_DEG) : []).map((p) => [p, screenOf(p)]).filter(([, at]) => at && Math.hypot(at.x - x, at.y - y) < NEAR_PX).map(([p]) => p)[0];
  async function point(event) {
    const at = pointAt(event);
    const sky = grid && skyAt(at);
    if (!sky) return;
    const mine = ++asked;
    const source = near(at);
    const text = `${position(sky.ra, sky.dec)}${source ? `, ${source.name}` : ""}`;
    said.textContent = text;
    await new Promise((done) => setTimeout(done, REST_MS));
    if (isFile || mine !== asked) return;
    const value = await map.valueAt(sky).catch(() => undefined);
    if (mine !== asked || value === undefined) return;
    said.textContent = `${text}: ${value === null ? "nothing observed" : `${digits(1e3 * value, 4)} mJy/beam`}`;
  }
  function moveTo(place) {
    if (place) Object.assign(chosen, { ra: place.ra, dec: Math.max(-90, Math.min(90, place.dec)) });
    redraw();
  }
  /** Zoom; what is at a point of the canvas stays there. */
  function zoom(factor, at = null) {
    const before = at && skyAt(at);
    chosen.fov = Math.max(LEAST_DEG, Math.min(MOST_DEG, chosen.fov / factor));
    paint();
    if (before) shift(before, at);
    redraw();
  }
  /** Move the view so that a place comes to a point of the canvas. */
  function shift(place, at) {
    const now = screenOf(place);
    if (!now) return;
    moveTo(skyAt({ x: grid.columns / 2 + now.x - at.x, y: grid.rows / 2 + now.y - at.y }));
  }
  let held = null;
  frame.addEventListener("wheel", (event) => { event.preventDefault(); zoom(event.deltaY < 0 ? 1.25 : 0.8, pointAt(event)); }, { passive: false });
  frame.addEventListener("pointerdown", (event) => { held = { at: pointAt(event), moved: false }; });
  frame.addEventListener("pointermove", (event) => {
    if (!held || !event.buttons) { point(event); return; }
    const at = pointAt(event);
    moveTo(skyAt({ x: grid.columns / 2 - at.x + held.at.x, y: grid.rows / 2 - at.y + held.at.y }));
    held = { at, moved: true };
  });
  frame.addEventListener("pointerup", (event) => {
    const source = held && !held.moved && near(pointAt(event));
    held = null;
    if (source) location.hash = source.href;
  });
  frame.addEventListener("keydown", (event) => {
    const step = grid.columns / 8;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    if (moves[event.key]) moveTo(skyAt({ x: grid.columns / 2 + moves[event.key][0], y: grid.rows / 2 + moves[event.key][1] }));
    else if (event.key === "+" || event.key === "=") zoom(1.5);
    else if (event.key === "-") zoom(1 / 1.5);
    else return;
    event.preventDefault();
  });
  new ResizeObserver(redraw).observe(frame);

  const go = el("input", { type: "text", id: "map-go", placeholder: "01:37:41.3 +33:09:35", spellcheck: "false", change: () => {
    const place = readPosition(go.value);
    go.setAttribute("aria-invalid", String(!place));
    moveTo(place);
  } });
  const ticked = el("input", { type: "checkbox", id: "map-sources", checked: chosen.sources, change: () => { chosen.sources = ticked.checked; redraw(); } });
  const address = new URL(root, document.baseURI).href;
  return [
    heading,
    el(
      "div",
      { class: "controls" },
      choice("map-layer", "Map", layers.map((one) => [one.name, one.title]), layer.name, (name) => { chosen.layer = name; dispatchEvent(new Event("redraw")); }),
      el("label", { class: "control wide" }, el("span", {}, "Go to a position"), go),
      el("button", { type: "button", id: "map-in", click: () => zoom(1.5) }, "Zoom in"),
      el("button", { type: "button", id: "map-out", click: () => zoom(1 / 1.5) }, "Zoom out"),
      el("label", { class: "tick" }, ticked, " sources and candidates"),
    ),
    frame,
    where,
    said,
    el("p", {}, `${layer.title[0].toUpperCase()}${layer.title.slice(1)}: ${counted(layer.n_mosaics, "mosaics")}, ${fixed(layer.sky_fraction * 41252.96, 1)} deg², weighted by their expected noise${layer.n_left ? `; ${counted(layer.n_left, "tiles")} will be made by the next updates` : ""}.`),
    isFile ? null : el("p", { id: "map-address" }, "For Aladin and other programs, the HiPS is at ", el("span", { class: "id" }, address), ", its coverage is ", el("a", { href: `${root}/Moc.fits`, download: "" }, "Moc.fits"), "."),
  ];
}
