// The page. Belongs here: the choice of view, menu, banners, checking for a newer export every
// minute. Doesn't: any view.

import { beside, el } from "./elements.js";
import { enter, forget, settle } from "./keeping.js";
import { isLive } from "./live.js";
import { LoadFailure, loadIndex, OLD_DAYS } from "./loading.js";
import { lengthText, nowMjd, utcText } from "./times.js";
import * as antennas from "./views/antennas.js";
import * as beam from "./views/beam.js";
import * as calibration from "./views/calibration.js";
import * as candidates from "./views/candidates.js";
import * as lightcurves from "./views/lightcurves.js";
import * as map from "./views/map.js";
import * as mosaics from "./views/mosaics.js";
import * as observations from "./views/observations.js";
import * as quality from "./views/quality.js";
import * as sky from "./views/sky.js";
import * as sources from "./views/sources.js";
import * as tonight from "./views/tonight.js";
import * as variables from "./views/variables.js";

/** Each has `title`, `needs` (documents) and `show(index, argument)`, which returns elements. */
const VIEWS = { tonight, sky, map, quality, calibration, ...(isLive ? { antennas, beam } : {}), sources, variables, lightcurves, candidates, observations, mosaics };

const RELOAD_MS = 60_000;

const main = document.getElementById("main");
const live = document.getElementById("live");
const nav = document.getElementById("views");
const menu = document.getElementById("menu");

let index = null;
let unreachable = null;
/** Whether the displayed view is of an older export than `index`. */
let behind = false;
/** Number of the latest view: an earlier one that takes longer isn't displayed. */
let turn = 0;

function route() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, ...rest] = path.split("/");
  let argument = rest.join("/");
  try {
    argument = decodeURIComponent(argument);
  } catch {
    // Typed by hand, with a literal percent sign.
  }
  return { name: name || "tonight", argument, query: query ?? "" };
}

function message(error) {
  const text = error instanceof LoadFailure ? error.message : `Error in this view: ${error.message}. Please report it to the maintainers of contimg.`;
  if (!(error instanceof LoadFailure)) console.error(error);
  const again = el("button", { type: "button", id: "again", click: () => start() }, "Try again");
  return [el("h1", { tabindex: -1 }, "View unavailable"), el("div", { class: "message bad", role: "alert" }, el("p", {}, text), again)];
}

async function elements({ name, argument, query }) {
  const view = Object.hasOwn(VIEWS, name) ? VIEWS[name] : null;
  try {
    if (!index) index = await loadIndex();
    if (!view) return [el("h1", { tabindex: -1 }, "Not found"), el("p", { class: "message warn", role: "alert" }, `There is no view “${name}”. `, el("a", { href: "#/tonight" }, "Tonight at a glance"))];
    enter(query);
    try {
      return [await view.show(index, argument)].flat();
    } catch (error) {
      // Somebody may have typed choices that don't exist.
      if (!query || error instanceof LoadFailure) throw error;
      forget();
      return [await view.show(index, argument)].flat();
    }
  } catch (error) {
    return message(error);
  }
}

/** Draw the view of the address; `again`: redraw the current one, and keep its state. */
async function draw({ again = false } = {}) {
  const mine = ++turn;
  if (again) settle();
  const where = route();
  if (!again) {
    for (const link of nav.querySelectorAll("a")) {
      if (link.dataset.view === where.name) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    live.textContent = "Loading …";
    main.setAttribute("aria-busy", "true");
  }
  const shown = await elements(where);
  if (mine !== turn) return;
  behind = false;
  const place = again ? remember() : null;
  // Keep the height: an empty page would scroll to its top.
  main.style.minHeight = again ? `${main.offsetHeight}px` : "";
  main.replaceChildren(...shown);
  main.removeAttribute("aria-busy");
  main.dataset.shown = [where.name, where.argument].filter(Boolean).join("/");
  const heading = main.querySelector("h1");
  document.title = `${heading?.textContent ?? "contimg"} – contimg`;
  if (again) {
    place();
    requestAnimationFrame(() => requestAnimationFrame(() => {
      // The charts have their heights now.
      main.style.minHeight = "";
      place();
    }));
  } else {
    live.textContent = `${heading?.textContent ?? "View"} is shown.`;
  }
  frame();
}

/** Record focus, open details and scroll positions; return a function that restores them. */
function remember() {
  const focused = document.activeElement?.id;
  const open = [...main.querySelectorAll("details[open] > summary[id]")].map((summary) => summary.id);
  const sideways = [...main.querySelectorAll(".scroll, .strip")].map((part) => part.scrollLeft);
  const [left, top] = [scrollX, scrollY];
  return () => {
    for (const id of open) document.getElementById(id)?.parentElement.setAttribute("open", "");
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
    [...main.querySelectorAll(".scroll, .strip")].forEach((part, i) => (part.scrollLeft = sideways[i] ?? 0));
    scrollTo(left, top);
  };
}

/** Whether the user types or selects text, which a redraw would interrupt. */
const occupied = () => document.activeElement?.matches("main input:not([type=checkbox]), main select") || !getSelection().isCollapsed;

/** Update the parts around the view. */
function frame() {
  const banners = [];
  if (index) {
    document.getElementById("telescope").textContent = index.telescope;
    const age = nowMjd() - index.generated_mjd;
    if (age > OLD_DAYS) {
      banners.push(el("p", { class: "banner warn", id: "old" }, el("strong", {}, `This export is ${lengthText(age)} old`), ` (${utcText(index.generated_mjd)} UTC). It may be out of date: check that the platform is running.`));
    }
    document.getElementById("footer").replaceChildren(
      el("p", {}, `Export of ${utcText(index.generated_mjd)} UTC (MJD ${index.generated_mjd.toFixed(4)}), ${lengthText(age)} old. `, Object.entries(index.software).map(([name, version]) => `${name} ${version}`).join(", ")),
      files(),
    );
  }
  if (unreachable) banners.push(el("p", { class: "banner bad", id: "unreachable" }, `Can't load a newer export. ${unreachable}`));
  const place = document.getElementById("banners");
  // Updated only after a change, so that screen readers don't repeat it.
  if (place.textContent !== banners.map((b) => b.textContent).join("")) place.replaceChildren(...banners);
}

function files() {
  const links = Object.entries(index.files).map(([what, path]) => [what, beside(path)]).filter(([, href]) => href);
  return links.length ? el("p", {}, "Downloads: ", links.map(([what, href], i) => [i ? ", " : "", el("a", { href }, what)])) : "";
}

async function look() {
  const before = index;
  try {
    index = await loadIndex();
    unreachable = null;
  } catch (error) {
    unreachable = error.message;
    frame();
    return;
  }
  const { name } = route();
  const same = before && (VIEWS[name]?.needs ?? []).every((d) => JSON.stringify(before.pages[d]) === JSON.stringify(index.pages[d]));
  // Ages increase without a newer export.
  behind ||= name === "tonight" || !same;
  if (behind && !occupied()) await draw({ again: true });
  else frame();
}

async function start() {
  index = null;
  await draw();
}

function openMenu(open) {
  menu.setAttribute("aria-expanded", String(open));
  nav.classList.toggle("open", open);
}

nav.append(el("ul", {}, Object.entries(VIEWS).map(([name, view]) => el("li", {}, el("a", { href: `#/${name}`, "data-view": name, id: `to-${name}` }, view.title)))));
nav.addEventListener("click", () => openMenu(false));
menu.addEventListener("click", () => openMenu(menu.getAttribute("aria-expanded") === "false"));
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && menu.getAttribute("aria-expanded") === "true") {
    openMenu(false);
    menu.focus();
  }
});
document.getElementById("skip").addEventListener("click", (event) => {
  // Not by its address, which determines the view.
  event.preventDefault();
  main.focus();
});
addEventListener("hashchange", async () => {
  openMenu(false);
  await draw();
  scrollTo(0, 0);
  // A reader of another view starts at its heading.
  main.querySelector("h1")?.focus({ preventScroll: true });
});
// A view that changed something shows it.
addEventListener("redraw", () => draw({ again: true }));
setInterval(look, RELOAD_MS);
start();
