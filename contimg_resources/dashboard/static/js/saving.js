// Files that the page makes or asks for. Belongs here: CSV, offering them for download. Doesn't: their
// contents.

/** Quote a value for CSV. One that a spreadsheet would take for a formula is text. */
function cell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(value);
  const text = String(value);
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** Offer a table for download; columns are [name, values]. */
export function saveCsv(name, columns) {
  const n = Math.max(0, ...columns.map(([, values]) => values.length));
  const lines = [columns.map(([title]) => cell(title)), ...Array.from({ length: n }, (_, i) => columns.map(([, values]) => cell(values[i])))];
  saveBlob(`${name}.csv`, new Blob([`${lines.map((l) => l.join(",")).join("\n")}\n`], { type: "text/csv" }));
}

/** Offer a file for download. */
export function saveBlob(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name.replace(/[^A-Za-z0-9_.+-]+/g, "_");
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
