// Parts of the pages of one observation, mosaic or caltable set. Belongs here: facts, links to Dagster
// and between the pages, places to draw over images. Doesn't: the pages.

import { el } from "./elements.js";
import { layerAddress } from "./live.js";
import { loadDocument } from "./loading.js";
import { curveOf } from "./views/variables.js";

/** One entry of a list of facts. */
export const fact = (name, value) => el("div", {}, el("dt", {}, name), el("dd", {}, value));

/** Link to a page of Dagster's; only its text without an address. */
export function inDagster(dagster, path, text) {
  const id = el("span", { class: "id" }, text);
  return dagster && /^https?:/.test(dagster) ? el("a", { href: `${dagster.replace(/[/]+$/, "")}/${path}`, rel: "noreferrer" }, id) : id;
}

/** A line of links to the partitions of assets, and to a run; null without an address. */
export function partitions(dagster, key, assets, run = null) {
  if (!dagster) return null;
  const links = assets.map((asset) => inDagster(dagster, `assets/${asset}?view=partitions&partition=${encodeURIComponent(key)}`, asset));
  if (run) links.push(inDagster(dagster, `runs/${run}`, "last run"));
  return el("p", { id: "in-dagster" }, "In Dagster: ", listed(links));
}

const linkTo = (view, address, text) => el("a", { class: "id", href: `#/${view}/${encodeURIComponent(address)}` }, text);
export const observationLink = (key) => linkTo("observations", key, key);
export const mosaicLink = (key) => linkTo("mosaics", key, key);
export const setLink = (name, version) => linkTo("calibration", `${name}/${version}`, `${name} v${version}`);

/** Join elements by commas. */
export const listed = (elements) => elements.map((one, i) => [i ? ", " : "", one]);

/** A small picture of an image {what, key, kind}, with as many pixels as the screen shows. */
export function thumbnail(image, width) {
  const at = (pixels) => `${layerAddress(image, "webp")}?width=${pixels}`;
  const gone = (event) => event.target.replaceWith("–");
  return el("img", { class: "thumbnail", error: gone, width, alt: `Image of ${image.key}`, loading: "lazy", src: at(width), srcset: [1, 2, 3].map((n) => `${at(n * width)} ${n}x`).join(", ") });
}

export const sizeText = (bytes) => (bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);

/** Sources and candidates to draw over an image. */
export async function placesOf(index) {
  const [sources, events] = await Promise.all(["sources", "candidates"].map((name) => loadDocument(index, name)));
  const found = (sources?.source_id ?? []).map((id, i) => ({ ra: sources.ra_deg[i], dec: sources.dec_deg[i], name: id, href: curveOf(id), kind: sources.is_variable[i] ? "variable" : "steady" }));
  const candidates = (events?.candidates ?? []).map((c) => ({ ra: c.ra_deg, dec: c.dec_deg, name: `candidate ${c.id}`, href: `#/candidates/${encodeURIComponent(c.id)}`, kind: "event" }));
  return [...found, ...candidates].filter((p) => p.ra !== null && p.dec !== null);
}
