// What went wrong, in words, and what can be done about it.

import { Away, Refusal } from "./api.js";
import { $, el } from "./dom.js";

/** Takes away what was said. */
export const clear = () => $("trouble").replaceChildren();

/** Says a sentence of this page's own. */
export function refuse(text) {
  $("trouble").replaceChildren(el("div", { class: "trouble" }, el("p", {}, text)));
}

/** Says what an error means; again is called if people want to try once more. */
export function explain(error, again) {
  const { id = null, wait = null } = error;
  const [title, text] = words(error);
  $("trouble").replaceChildren(el("div", { class: "trouble" },
    el("p", {}, el("strong", {}, title), " ", text),
    id ? el("p", { class: "soft" }, "Request ", el("code", {}, id)) : null,
    wait ? later(wait, again) : null));
}

function words(error) {
  if (error instanceof Refusal) return [error.title, error.message];
  if (error instanceof Away) {
    return ["The server did not answer.",
      "The image is kept, and is sent again when the server is back."];
  }
  console.error(error); // a fault of this page
  return ["This page has failed at this.", error.message];
}

/** A button to ask again, which can be pressed once the server has said that it may. */
function later(seconds, again) {
  const button = el("button", { type: "button", disabled: true }, "Try again");
  setTimeout(() => { button.disabled = false; }, 1000 * seconds);
  button.addEventListener("click", () => again());
  return button;
}
