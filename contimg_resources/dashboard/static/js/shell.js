// Commands to copy. Belongs here: quoting, copying. Doesn't: the commands.

import { el } from "./elements.js";

/** Quote a word for a shell. */
export const quoted = (word) => (/^[A-Za-z0-9_.+:@%/][A-Za-z0-9_.+:@%/-]*$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);

/** Make a command with a button that copies it. */
export function command(id, text) {
  const code = el("code", { id }, text);
  const said = el("span", { class: "dim", role: "status" });
  const copy = async () => {
    try {
      // Works only on https and on this machine's own addresses.
      await navigator.clipboard.writeText(code.textContent);
      said.textContent = "Copied.";
    } catch {
      getSelection().selectAllChildren(code);
      said.textContent = document.execCommand("copy") ? "Copied." : "Selected: press Ctrl-C.";
    }
  };
  return el("div", { class: "command" }, el("pre", { tabindex: 0, "aria-label": "Command" }, code), el("button", { type: "button", id: `${id}-copy`, click: copy }, "Copy"), said);
}
