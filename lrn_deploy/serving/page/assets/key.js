// Asks people for the server's key.

import { $ } from "./dom.js";

/** The key that people give, or null if they give none. */
export function askForKey(refusal) {
  const dialog = $("key-dialog");
  $("key-why").textContent = refusal.message;
  $("key").value = "";
  dialog.showModal();
  return new Promise((resolve) => {
    const end = (given) => {
      dialog.close();
      resolve(given);
    };
    $("key-form").onsubmit = (event) => {
      event.preventDefault();
      end($("key").value.trim());
    };
    $("key-cancel").onclick = () => end(null);
    dialog.oncancel = () => end(null);
  });
}
