// Reading the documents. Belongs here: fetching, checking what they are, putting pages together,
// keeping pages. Doesn't: showing anything.

const SCHEMA_VERSION = 1;

/** Which columns of a document go on from page to page; the rest is told by its first. */
const GROWING = {
  observations: ["observations"],
  calibration: ["sets"],
  mosaics: ["mosaics"],
  variables: ["variables"],
  candidates: ["candidates"],
  light_curves: ["light_curves"],
};

const pages = new Map();
/** Pages that failed: the next time they're read past the browser's own cache. */
const failed = new Set();

/** Why a document can't be shown, in words for an observer. */
export class LoadFailure extends Error {}

async function read(path, document, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new LoadFailure(`${path} can't be loaded: the server doesn't answer. Is contimg dashboard still running?`);
  }
  if (!answer.ok) {
    throw new LoadFailure(`${path} can't be loaded: the server says ${answer.status}${answer.status === 404 ? ", not found. contimg export writes it anew" : ""}.`);
  }
  let content;
  try {
    content = await answer.json();
  } catch {
    throw new LoadFailure(`${path} is no JSON document, or only a part of one. contimg export writes it anew.`);
  }
  if (content?.schema_version !== SCHEMA_VERSION) {
    throw new LoadFailure(`${path} has schema version ${content?.schema_version ?? "none"}; this dashboard reads ${SCHEMA_VERSION}. Run contimg dashboard of the release that wrote the export.`);
  }
  if (content.document !== document) throw new LoadFailure(`${path} is not the document “${document}”.`);
  return content;
}

/** The index as it is now. Pages that it doesn't name are forgotten. */
export async function loadIndex() {
  const index = await read("index.json", "index", { cache: "no-cache" });
  const named = new Set(Object.values(index.pages).flat().map((page) => page.path));
  for (const path of pages.keys()) if (!named.has(path)) pages.delete(path);
  return index;
}

/** One page of a document, from 0; null when there is none. */
export async function loadPage(index, document, number) {
  const page = index.pages[document]?.[number];
  if (!page) return null;
  if (!pages.has(page.path)) {
    const reading = read(page.path, document, failed.delete(page.path) ? { cache: "reload" } : {});
    pages.set(page.path, reading);
    // What failed is tried again when it is asked for again.
    reading.catch(() => pages.delete(page.path) && failed.add(page.path));
  }
  return pages.get(page.path);
}

/** A whole document; null when the export has none. */
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

/** A source's light curve from the page that has it; null when it isn't in it. */
export async function loadLightCurve(index, page, sourceId) {
  if (page === null || page === undefined) return null;
  const document = await loadPage(index, "light_curves", page);
  return document?.light_curves.find((curve) => curve.source_id === sourceId) ?? null;
}
