// The user's choices, while the page is open. Belongs here: filters, zooms, sort orders of tables,
// by name, so that a redrawn view looks the same. Doesn't: data of the documents.

const kept = new Map();

/** Return the choices of a name; at first those of `initial`. */
export function keep(name, initial = {}) {
  if (!kept.has(name)) kept.set(name, { ...initial });
  return kept.get(name);
}
