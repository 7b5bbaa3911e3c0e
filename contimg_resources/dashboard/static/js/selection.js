// The sources that are chosen, as a query. Belongs here: ADQL, files that the server makes of it.
// Doesn't: choosing (see views/sources.js).

import { el } from "./elements.js";
import { isLive, query } from "./live.js";
import { saveBlob } from "./saving.js";

const FORMATS = [
  ["votable", "VOTable", "vot"],
  ["parquet", "Parquet", "parquet"],
];
const quoted = (text) => `'${text.replaceAll("'", "''")}'`;
const like = (text) => quoted(`%${text.replace(/[!%_]/g, "!$&")}%`);

/**
 * Return the query of the sources in a circle or with a part of an id, within limits of a metric;
 * of `ids` alone, if they aren't null.
 */
export function selectionQuery({ place, radius, word, metric, least, most, variable, ids = null }) {
  const wanted = [
    place && `CONTAINS(POINT(ra_deg, dec_deg), CIRCLE(${place.ra}, ${place.dec}, ${radius})) = 1`,
    !place && word && `LOWER(source_id) LIKE ${like(word)} ESCAPE '!'`,
    least !== null && `${metric} >= ${least}`,
    most !== null && `${metric} <= ${most}`,
    variable && "is_variable = 1",
    ids && `source_id IN (${ids.map(quoted).join(", ")})`,
  ].filter(Boolean);
  return `SELECT * FROM contimg.sources${wanted.length ? ` WHERE ${wanted.join(" AND ")}` : ""}`;
}

/** Make buttons that save the rows of a query with all columns; none without a server. */
export function saveButtons(queryNow) {
  if (!isLive) return [];
  const said = el("span", { class: "dim", role: "status", id: "sources-saved" });
  const save = async (format, ending) => {
    said.textContent = "Saving …";
    try {
      saveBlob(`sources.${ending}`, await query(queryNow(), format));
      said.textContent = "";
    } catch (error) {
      said.textContent = error.message;
    }
  };
  return [...FORMATS.map(([format, name, ending]) => el("button", { type: "button", id: `sources-${format}`, click: () => save(format, ending) }, `Save as ${name}`)), said];
}
