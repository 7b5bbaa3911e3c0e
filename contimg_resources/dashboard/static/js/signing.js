// Signing in with a token. Belongs here: the form. Doesn't: sessions (see live.js).

import { el } from "./elements.js";
import { signIn } from "./live.js";

/** Make the form; the view is drawn again for the person. */
export function signingIn() {
  const said = el("p", { class: "message", role: "status", hidden: true });
  const token = el("input", { type: "password", id: "token", autocomplete: "current-password" });
  const enter = async (event) => {
    event.preventDefault();
    try {
      await signIn(token.value);
      dispatchEvent(new Event("redraw"));
    } catch (error) {
      said.hidden = false;
      said.textContent = error.message;
    }
  };
  return [el("p", {}, "Sign in to mark candidates, and to add tags and comments."), el("form", { class: "controls", submit: enter }, el("label", { class: "control" }, el("span", {}, "Token"), token), el("button", { id: "sign-in" }, "Sign in")), said];
}
