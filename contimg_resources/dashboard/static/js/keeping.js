// The user's choices. Belongs here: filters, zooms, sort orders of tables, by name, so that a redrawn
// view looks the same; those of the view in its address, so that it can be sent to others. Doesn't:
// data of the documents.

const kept = new Map();
/** Names of the choices of the view that is shown. */
let current = new Set();
let given = new URLSearchParams();
let writing = null;
const REST_MS = 200;

/** What is selected in a chart isn't in the address. */
const isShared = (name) => !name.startsWith("chart:");
const written = (value) => (typeof value === "string" ? value : JSON.stringify(value));

/** Read a choice from the address: of the kind of the initial one. */
function parsed(text, initial) {
  if (typeof initial === "string") return text;
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    value = text;
  }
  const fits = initial === null ? value === null || ["string", "number"].includes(typeof value) : typeof value === typeof initial;
  return fits ? value : initial;
}

/** Write choices into the address now, before the view is drawn again. */
export function settle() {
  if (writing === null) return;
  clearTimeout(writing);
  write();
}

/** Begin a view with the choices of its address, the part after "?". */
export function enter(query) {
  clearTimeout(writing);
  writing = null;
  current = new Set();
  given = new URLSearchParams(query);
}

/** Forget the choices of the present view, whose address can't be shown. */
export function forget() {
  for (const name of current) kept.delete(name);
  enter("");
}

/** Write the choices that differ from the initial ones into the address. */
function write() {
  writing = null;
  const query = new URLSearchParams();
  for (const name of current) {
    const { values, initial } = kept.get(name);
    for (const [key, value] of Object.entries(values)) if (value !== initial[key]) query.set(`${name}.${key}`, written(value));
  }
  const plain = location.hash.split("?")[0];
  const whole = query.size ? `${plain}?${query}` : plain;
  if (whole !== location.hash) history.replaceState(history.state, "", whole || "#/tonight");
}

/** Return the choices of a name; at first those of the address, else those of `initial`. */
export function keep(name, initial = {}) {
  if (!kept.has(name)) {
    const values = { ...initial };
    const choices = new Proxy(values, {
      set(target, key, value) {
        target[key] = value;
        if (isShared(name)) {
          clearTimeout(writing);
          writing = setTimeout(write, REST_MS);
        }
        return true;
      },
    });
    kept.set(name, { values, initial: { ...initial }, choices });
  }
  const { values, initial: first, choices } = kept.get(name);
  if (isShared(name) && !current.has(name)) {
    current.add(name);
    for (const key of Object.keys(first)) {
      const text = given.get(`${name}.${key}`);
      if (text !== null) values[key] = parsed(text, first[key]);
    }
    // Choices of an earlier visit of the view.
    clearTimeout(writing);
    writing = setTimeout(write, REST_MS);
  }
  return choices;
}
