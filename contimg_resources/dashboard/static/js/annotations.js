// Tags, comments and favourites. Belongs here: those of now, or of the export; their part of a source's
// page and a candidate's card. Doesn't: choosing sources by them (see views/sources.js).

import { el } from "./elements.js";
import { keep } from "./keeping.js";
import { ask, isLive, whoAmI } from "./live.js";
import { loadDocument } from "./loading.js";
import { signingIn } from "./signing.js";

const NONE = { tags: [], favourite_of: [], comments: [] };
const LONGEST_TAG = 40;
const LONGEST_COMMENT = 2000;

const placeOf = (subject, id) => `${subject}:${id}`;

let all = null;

/** Read all annotations: those of now, or those of an export that is shown without a server. */
export async function loadAnnotations(index) {
  const found = isLive ? await ask("annotations") : await loadDocument(index, "annotations");
  all = new Map((found?.annotations ?? []).map((a) => [placeOf(a.subject, a.id), a]));
}

/** Return {tags, favourite_of, comments} of a source or candidate. */
export const annotationsOf = (subject, id) => all?.get(placeOf(subject, id)) ?? NONE;

/** Return all tags of sources or of candidates, by name. */
export const tagsOf = (subject) => [...new Set([...(all?.values() ?? [])].filter((a) => a.subject === subject).flatMap((a) => a.tags.map((t) => t.text)))].sort();

/** Show tags in a line: a cell of a table. */
export function tagLine(found) {
  if (!found.tags.length && !found.favourite_of.length && !found.comments.length) return "";
  return el("span", {}, found.favourite_of.length ? el("span", { class: "star", title: `Favourite of ${found.favourite_of.join(", ")}` }, "★ ") : null, found.tags.map((t) => [el("span", { class: "tag" }, t.text), " "]), found.comments.length ? el("span", { class: "dim" }, found.comments.length === 1 ? "1 comment" : `${found.comments.length} comments`) : null);
}

function box(id, label, longest, chosen, name, send) {
  const input = el("input", { type: "text", id, maxlength: longest, value: chosen[name], input: () => (chosen[name] = input.value) });
  const add = (event) => {
    event.preventDefault();
    if (input.value.trim()) send(input.value);
  };
  return el("form", { class: "controls", submit: add }, el("label", { class: "control wide" }, el("span", {}, label), input), el("button", { id: `${id}-add` }, "Add"));
}

/** Make the part of a page that shows annotations, with the means to change them where that is possible. */
export async function annotationsPart(subject, id) {
  const me = isLive ? await whoAmI() : { name: null, tokens: false };
  const chosen = keep(`annotations:${placeOf(subject, id)}`, { tag: "", comment: "" });
  const part = el("section", { class: "annotations", id: "annotations", "aria-label": "Tags and comments" });
  const said = el("p", { class: "message", role: "status", hidden: true });
  let busy = false;
  const send = (kind, withdraw = false) => async (text) => {
    if (busy) return;
    busy = true;
    try {
      const now = await ask("annotations", "POST", { subject, id, kind, text, withdraw });
      all.set(placeOf(subject, id), now);
      if (kind in chosen && !withdraw) chosen[kind] = "";
      const focused = document.activeElement?.id;
      draw();
      document.getElementById(focused)?.focus();
    } catch (error) {
      said.hidden = false;
      said.textContent = `${error.message} Nothing was changed.`;
    } finally {
      busy = false;
    }
  };
  function draw() {
    const found = annotationsOf(subject, id);
    const mine = found.favourite_of.includes(me.name);
    said.hidden = true;
    const tags = found.tags.map((t) => el("li", { class: "tag" }, el("span", { title: `by ${t.by}, ${t.utc}` }, t.text), me.name ? el("button", { type: "button", "aria-label": `Remove the tag ${t.text}`, click: () => send("tag", true)(t.text) }, "×") : null));
    const star = me.name ? el("button", { type: "button", id: "favourite", "aria-pressed": String(mine), click: () => send("favourite", mine)("") }, el("span", { "aria-hidden": "true" }, mine ? "★ " : "☆ "), "My favourite") : null;
    const others = found.favourite_of.filter((name) => name !== me.name);
    part.replaceChildren(
      ...[
        el("p", {}, star, others.length ? ` ★ Favourite of ${others.join(", ")}.` : null),
        tags.length ? el("ul", { class: "tags", "aria-label": "Tags" }, tags) : el("p", { class: "dim" }, "No tags."),
        me.name ? box("new-tag", "New tag", LONGEST_TAG, chosen, "tag", send("tag")) : null,
        found.comments.length ? el("ol", { class: "marks", "aria-label": "Comments" }, found.comments.map((c) => el("li", {}, el("strong", {}, c.by), `, ${c.utc.slice(0, 16).replace("T", " ")} UTC`, el("p", { class: "prose" }, c.text)))) : el("p", { class: "dim" }, "No comments."),
        me.name ? box("new-comment", "New comment", LONGEST_COMMENT, chosen, "comment", send("comment")) : null,
        said,
        // A candidate's card has this form for its marks.
        !me.name && me.tokens && subject === "source" ? signingIn() : null,
      ].flat().filter(Boolean),
    );
  }
  draw();
  return part;
}
