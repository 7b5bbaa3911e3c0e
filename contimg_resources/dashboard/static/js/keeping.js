// What a person chose, while the page is open. Belongs here: filters, zooms, orders of tables, by
// name, so that a view that is drawn again looks as it did. Doesn't: anything from the documents.

const kept = new Map();

/** The choices of one thing; what `initial` says at first. */
export function keep(name, initial = {}) {
  if (!kept.has(name)) kept.set(name, { ...initial });
  return kept.get(name);
}
