// The image that was asked about, and over it the parts that the network looks at.

import { el, svg } from "./dom.js";

const SMALL = 96; // pixels a side, below which an image is shown larger than it is

/** A picture and its overlay, one above the other. */
export class Picture {
  constructor() {
    this.image = el("img", { alt: "" });
    this.overlay = svg("svg", { viewBox: "0 0 1 1", preserveAspectRatio: "none", class: "overlay" });
    this.frame = el("div", { class: "frame" }, this.image, this.overlay);
    this.caption = el("figcaption", {});
    this.figure = el("figure", { class: "picture" }, this.frame, this.caption);
    this.url = null;
    this.image.addEventListener("load", () => {
      const { naturalWidth: width, naturalHeight: height } = this.image;
      this.frame.classList.toggle("tiny", Math.max(width, height) < SMALL);
    });
    this.image.addEventListener("error", () => {
      this.frame.hidden = true;
      this.caption.textContent =
        `${this.name}: this browser cannot show this kind of file; the server may still read it.`;
    });
  }

  /** Shows a file; the one before is forgotten. */
  show(file, name) {
    if (this.url !== null) URL.revokeObjectURL(this.url);
    this.url = URL.createObjectURL(file);
    this.name = name;
    this.frame.hidden = false;
    this.image.alt = name;
    this.image.src = this.url;
    this.caption.textContent = name;
    this.clear();
  }

  /** Takes the overlay away. */
  clear() {
    this.overlay.replaceChildren();
    this.overlay.removeAttribute("role");
    this.overlay.removeAttribute("aria-label");
  }

  /** Lays shapes over the picture, whose width and height are 1, with what they show in words. */
  cover(shapes, words) {
    this.overlay.replaceChildren(...shapes);
    this.overlay.setAttribute("role", "img");
    this.overlay.setAttribute("aria-label", words);
  }
}
