// Images come dropped, pasted, chosen or photographed.

import { $ } from "./dom.js";
import { photograph } from "./camera.js";

const NO_FILE = "That was no file. Save the image first, and drop or choose the file.";

/** Calls take with each file that people bring, and refuse with a sentence for what is none. */
export function pick({ take, refuse }) {
  const first = (files) => {
    if (files.length === 0) return refuse(NO_FILE);
    const note = files.length > 1 ? `The first of ${files.length} files was taken.` : "";
    return take(files[0], files[0].name || "pasted image", note);
  };

  for (const [button, input] of [["choose", "file"], ["photograph", "shot"]]) {
    $(button).addEventListener("click", async () => {
      if (button === "photograph" && navigator.mediaDevices?.getUserMedia) {
        const shot = await photograph(refuse);
        if (shot) take(shot, "photograph", "");
      } else {
        $(input).click();
      }
    });
    $(input).addEventListener("change", () => {
      if ($(input).files.length) first([...$(input).files]);
      $(input).value = ""; // the same file may be chosen again
    });
  }

  document.addEventListener("paste", (event) => {
    if (event.target.closest?.("input, textarea")) return;
    event.preventDefault();
    first([...(event.clipboardData?.files ?? [])]);
  });

  let depth = 0; // of elements that a dragged file is over
  const over = (change) => {
    depth = Math.max(0, depth + change);
    document.body.classList.toggle("dropping", depth > 0);
  };
  document.addEventListener("dragenter", (event) => { event.preventDefault(); over(1); });
  document.addEventListener("dragleave", () => over(-1));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    over(0);
    first([...(event.dataTransfer?.files ?? [])]);
  });
}
