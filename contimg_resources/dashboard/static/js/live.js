// What the server answers besides files. Belongs here: asking for the person, marks, observations;
// adding a mark; sending what others ask. Doesn't: display. A copy of the files on another server has no
// programs: its marks are those of the export.

const meta = document.querySelector("meta[name=contimg-programs]");

/** Whether the server takes marks. */
export const isLive = Boolean(meta);

let person = null;
let all = null;

/** Reason why the server refused, for the observer. */
export class Refused extends Error {}

/** Send a request to a program, and return its answer. */
export async function ask(what, method = "GET", body = null) {
  let answer;
  try {
    answer = await fetch(meta.content + what, { method, body: body && JSON.stringify(body), headers: { "Content-Type": "application/json", "X-Contimg": "1" }, cache: "no-store" });
  } catch {
    throw new Refused("The server doesn't answer. Is contimg dashboard still running?");
  }
  const content = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(content.error ?? `The server answered ${answer.status}.`);
  return content;
}

/** Return {name, tokens}: the person, null if unknown, and whether people sign in with a token. */
export async function whoAmI() {
  if (isLive) person ??= await ask("session");
  return person ?? { name: null, tokens: false };
}

export async function signIn(token) {
  person = await ask("session", "POST", { token });
}

export async function signOut() {
  person = await ask("session", "DELETE");
}

/** Return record, history, statistics and layers of an observation. */
export const observation = (key) => ask(`observations/${encodeURIComponent(key)}`);

/** Return the address of a layer of an observation's images. */
export const layerAddress = (key, kind, ending) => `${meta.content}observations/${encodeURIComponent(key)}/${kind}.${ending}`;

/** Return the value of a pixel, null where nothing was observed. */
export const pixelValue = async (key, kind, x, y) => (await ask(`observations/${encodeURIComponent(key)}/${kind}/pixel?x=${x}&y=${y}`)).value;

/** Return {name, ra_deg, dec_deg, known_by}: the position of a name. */
export const positionOf = (name) => ask(`names?${new URLSearchParams({ name })}`);

/** Return the address of a source's light curve as VOTable. */
export const curveAddress = (id) => `${meta.content}vo/light_curve?${new URLSearchParams({ ID: id })}`;

/** Return the rows of a query in ADQL as a file. */
export async function query(adql, format) {
  let answer;
  try {
    answer = await fetch(`${meta.content}vo/tap/sync`, { method: "POST", body: new URLSearchParams({ QUERY: adql, RESPONSEFORMAT: format, MAXREC: "200000" }), cache: "no-store" });
  } catch {
    throw new Refused("The server doesn't answer. Is contimg dashboard still running?");
  }
  const blob = await answer.blob();
  const status = blob.type.includes("votable") ? new DOMParser().parseFromString(await blob.text(), "text/xml").querySelector("INFO[name=QUERY_STATUS][value=ERROR]") : null;
  if (!answer.ok || status) throw new Refused(status?.textContent ?? `The server answered ${answer.status}.`);
  return blob;
}

/** Read all marks anew. */
export async function loadMarks() {
  if (isLive) all = (await ask("marks")).marks;
}

/** Return the candidates with the marks of now in place of those of the export. */
export function withMarks(candidates) {
  if (!all) return candidates;
  return candidates.map((c) => {
    const marks = all[c.id] ?? [];
    return { ...c, mark: marks.at(-1) ?? null, earlier_marks: marks.slice(0, -1) };
  });
}

/** Add a mark. */
export async function mark(candidate, as, note) {
  const made = await ask("marks", "POST", { candidate, mark: as, note });
  ((all ??= {})[candidate] ??= []).push(made.mark);
}
