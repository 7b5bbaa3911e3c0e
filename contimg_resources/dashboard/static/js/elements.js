// Making elements. Belongs here: elements of HTML and SVG with plain text. Doesn't: the contents.
//
// All data of documents pass through here, as a text node or an attribute, never as markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Make an HTML element; functions among the attributes listen to the event of that name. */
export function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** Make an SVG element. */
export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

/** Return an address beside this page, for a link or a picture; null if it leads elsewhere. */
export function beside(path) {
  const here = new URL(".", document.baseURI);
  if (!URL.canParse(path, here)) return null;
  const there = new URL(path, here);
  return there.origin === here.origin && there.pathname.startsWith(here.pathname) ? there.href : null;
}

/** Make a choice among options [value, text]. */
export function choice(id, label, options, value, changed) {
  const select = el(
    "select",
    { id, change: () => changed(select.value) },
    options.map(([key, text]) => el("option", { value: key, selected: key === value }, text)),
  );
  return el("label", { class: "control" }, el("span", {}, label), select);
}
