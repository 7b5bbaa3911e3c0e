// Reading the documents. Belongs here: fetching, checking, combining and caching pages. Doesn't:
// display.

import { el } from "./elements.js";

const SCHEMA_VERSION = 2;
/** Age of an export that may be out of date: a running platform writes one after every image. */
export const OLD_DAYS = 30 / 1440;

/** Columns of a document that continue from page to page; the others are in its first page. */
const GROWING = {
  observations: ["observations"],
  calibration: ["sets"],
  mosaics: ["mosaics"],
  variables: ["variables"],
  candidates: ["candidates"],
  light_curves: ["light_curves"],
};

const pages = new Map();
/** Failed pages: the next attempt bypasses the browser's cache. */
const failed = new Set();

/** Reason why a document can't be shown, for the observer. */
export class LoadFailure extends Error {}

/** Whether the page was opened as a file: then browsers load scripts, but no JSON. */
export const isFile = location.protocol === "file:";

/** Documents that their scripts handed over. */
const handed = new Map();
if (isFile) globalThis.contimgDocument = (path, content) => handed.set(path, content);

/** Return a document from the script beside it. */
function fromScript(path) {
  return new Promise((resolve, reject) => {
    const done = (end) => () => {
      script.remove();
      end();
    };
    const script = el("script", {
      src: `${path}.js`,
      load: done(() => resolve(handed.get(path))),
      error: done(() => reject(new LoadFailure(`${path}.js can't be loaded. The page needs the whole directory of the export: contimg export --out DIR writes one that opens without a server.`))),
    });
    document.head.append(script);
  });
}

async function fetched(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new LoadFailure(`${path} can't be loaded: the server doesn't answer. Is contimg dashboard still running?`);
  }
  if (!answer.ok) {
    throw new LoadFailure(`${path} can't be loaded: the server answered ${answer.status}${answer.status === 404 ? " (not found). Run contimg export to write it again" : ""}.`);
  }
  let content;
  try {
    content = await answer.json();
  } catch {
    throw new LoadFailure(`${path} is not a complete JSON document. Run contimg export to write it again.`);
  }
  return content;
}

/** Return the content of a JSON file of the export. */
export const contentOf = (path, options) => (isFile ? fromScript(path) : fetched(path, options));

async function read(path, document, options) {
  const found = await contentOf(path, options);
  if (found?.schema_version !== SCHEMA_VERSION) {
    throw new LoadFailure(`${path} has schema version ${found?.schema_version ?? "none"}; this dashboard reads ${SCHEMA_VERSION}. Run contimg dashboard from the release that wrote the export.`);
  }
  if (found.document !== document) throw new LoadFailure(`${path} is not the document “${document}”.`);
  return found;
}

/** Load the current index. Pages that it doesn't name are dropped from the cache. */
export async function loadIndex() {
  const index = await read("index.json", "index", { cache: "no-cache" });
  const named = new Set(Object.values(index.pages).flat().map((page) => page.path));
  for (const path of pages.keys()) if (!named.has(path)) pages.delete(path);
  return index;
}

/** Load one page of a document, from 0; null if there is none. */
export async function loadPage(index, document, number) {
  const page = index.pages[document]?.[number];
  if (!page) return null;
  if (!pages.has(page.path)) {
    const reading = read(page.path, document, failed.delete(page.path) ? { cache: "reload" } : {});
    pages.set(page.path, reading);
    // A failed page is loaded again at the next request.
    reading.catch(() => pages.delete(page.path) && failed.add(page.path));
  }
  return pages.get(page.path);
}

/** Load a whole document; null if the export has none. */
export async function loadDocument(index, document) {
  const count = index.pages[document]?.length ?? 0;
  if (!count) return null;
  const parts = await Promise.all(Array.from({ length: count }, (_, i) => loadPage(index, document, i)));
  if (count === 1) return parts[0];
  const whole = { ...parts[0] };
  const growing = GROWING[document] ?? Object.keys(whole).filter((name) => Array.isArray(whole[name]));
  for (const name of growing) whole[name] = parts.flatMap((part) => part[name]);
  return whole;
}

/** Load a source's light curve from its page; null if it isn't in it. */
export async function loadLightCurve(index, page, sourceId) {
  if (page === null || page === undefined) return null;
  const document = await loadPage(index, "light_curves", page);
  return document?.light_curves.find((curve) => curve.source_id === sourceId) ?? null;
}
