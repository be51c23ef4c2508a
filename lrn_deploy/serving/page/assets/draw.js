// A sheet to draw a digit on, by mouse, finger, pen or keyboard, and the picture of it.

import { DIGITS } from "./digits.js";
import { el } from "./dom.js";

const SHEET = 256; // pixels a side of what is drawn on
const SENT = 64; // pixels a side of what is sent
const PEN = 0.1; // width of the pen, of the sheet's side
const STEP = 0.04; // of the keyboard's pen
const MARGIN = 0.04; // around the digit in what is sent

/** A sheet; calls changed after each stroke, with nothing. */
export class Sheet {
  constructor(changed) {
    this.changed = changed;
    this.strokes = [];
    this.stroke = null; // the one that is being drawn
    this.pen = null; // of the keyboard: where it is, and whether it is down
    this.canvas = el("canvas", {
      width: SHEET, height: SHEET, tabindex: "0", role: "application",
      "aria-label": "Sheet to draw a digit on. Arrow keys move the pen, Space puts it down or "
        + "lifts it, Delete clears the sheet. Example digits stand below.",
    });
    this.dark = el("input", { type: "checkbox" });
    this.element = el("div", { class: "sheet" },
      this.canvas,
      el("div", { class: "actions" },
        button("Clear", () => this.clear()),
        button("Undo", () => this.undo()),
        el("label", { class: "check" }, this.dark, " dark on light")),
      el("div", { class: "examples", role: "group", "aria-label": "Example digits" },
        el("span", { class: "soft" }, "or take one of these"),
        DIGITS.map((strokes, digit) =>
          button(String(digit), () => this.take(strokes), `Example of a ${digit}`))));
    this.dark.addEventListener("change", () => this.done());
    this.listen();
    this.paint();
  }

  /** Whether nothing is drawn. */
  get empty() {
    return this.strokes.length === 0;
  }

  /** Draws these strokes instead of what is there. */
  take(strokes) {
    this.strokes = strokes.map((stroke) => [...stroke]);
    this.done();
  }

  /** Takes everything away. */
  clear() {
    this.strokes = [];
    this.pen = null;
    this.done();
  }

  /** Takes the last stroke away. */
  undo() {
    this.strokes.pop();
    this.done();
  }

  /** What is drawn as a picture, as large as fits: bright on dark, or as it was asked for. */
  async picture() {
    const canvas = new OffscreenCanvas(SENT, SENT);
    const [ground, ink] = this.dark.checked ? ["#fff", "#000"] : ["#000", "#fff"];
    const points = this.strokes.flat();
    const [left, right] = extent(points.map(([x]) => x));
    const [top, bottom] = extent(points.map(([, y]) => y));
    const size = Math.max(right - left, bottom - top) + PEN;
    const scale = (SENT * (1 - 2 * MARGIN)) / Math.max(size, 3 * PEN);
    const pen = canvas.getContext("2d");
    pen.fillStyle = ground;
    pen.fillRect(0, 0, SENT, SENT);
    pen.translate(SENT / 2, SENT / 2);
    pen.scale(scale, scale);
    pen.translate(-(left + right) / 2, -(top + bottom) / 2);
    trace(pen, this.strokes, ink);
    return canvas.convertToBlob({ type: "image/png" });
  }

  done() {
    this.stroke = null;
    this.paint();
    this.changed();
  }

  listen() {
    const { canvas } = this;
    const at = (event) => {
      const box = canvas.getBoundingClientRect();
      return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    };
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      canvas.setPointerCapture(event.pointerId);
      this.pen = null;
      this.begin(at(event));
    });
    canvas.addEventListener("pointermove", (event) => {
      if (this.stroke === null || this.pen !== null) return;
      const seen = event.getCoalescedEvents?.() ?? [];
      this.stroke.push(...(seen.length ? seen : [event]).map(at));
      this.paint();
    });
    for (const end of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(end, () => {
        if (this.stroke !== null && this.pen === null) this.done();
      });
    }
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("blur", () => {
      if (this.pen?.down) this.lift();
      this.pen = null;
      this.paint();
    });
  }

  begin(point) {
    this.stroke = [point];
    this.strokes.push(this.stroke);
    this.paint();
  }

  lift() {
    this.pen.down = false;
    this.done();
  }

  key(event) {
    const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const way = ways[event.key];
    if (event.key === "Delete" || event.key === "Backspace") {
      this.clear();
    } else if (way) {
      this.pen ??= { at: [0.5, 0.5], down: false };
      this.pen.at = this.pen.at.map((value, axis) =>
        Math.min(0.95, Math.max(0.05, value + STEP * way[axis])));
      if (this.pen.down) this.stroke.push(this.pen.at);
      this.paint();
    } else if (event.key === " ") {
      this.pen ??= { at: [0.5, 0.5], down: false };
      if (this.pen.down) {
        this.lift();
      } else {
        this.pen.down = true;
        this.begin(this.pen.at);
      }
    } else {
      return;
    }
    event.preventDefault();
  }

  paint() {
    const pen = this.canvas.getContext("2d");
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.fillStyle = "#000";
    pen.fillRect(0, 0, SHEET, SHEET);
    pen.scale(SHEET, SHEET);
    trace(pen, this.strokes, "#fff");
    if (this.empty && this.pen === null) {
      pen.font = "0.075px system-ui, sans-serif";
      pen.textAlign = "center";
      pen.fillStyle = "#9aa5b0";
      pen.fillText("Draw a digit here", 0.5, 0.52);
    }
    if (this.pen !== null) {
      pen.beginPath();
      pen.arc(...this.pen.at, 0.03, 0, 2 * Math.PI);
      pen.lineWidth = 0.012;
      pen.strokeStyle = this.pen.down ? "#ff9d5c" : "#9aa5b0";
      pen.stroke();
    }
  }
}

function trace(pen, strokes, ink) {
  pen.strokeStyle = ink;
  pen.lineWidth = PEN;
  pen.lineCap = "round";
  pen.lineJoin = "round";
  for (const [first, ...others] of strokes) {
    pen.beginPath();
    pen.moveTo(...first);
    if (others.length === 0) pen.lineTo(first[0] + 1e-3, first[1]);
    for (const point of others) pen.lineTo(...point);
    pen.stroke();
  }
}

const extent = (values) => [Math.min(...values), Math.max(...values)];

function button(text, act, label = null) {
  const made = el("button", { type: "button", "aria-label": label }, text);
  made.addEventListener("click", act);
  return made;
}
