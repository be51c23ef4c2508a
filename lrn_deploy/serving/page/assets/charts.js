// A line chart of the last seconds: numbers in, SVG out, colours by the style sheet.

import { el, svg } from "./dom.js";

const WIDTH = 300;
const HEIGHT = 72;

/** The end of a scale from 0 that holds a value: 1, 2 or 5 times a power of ten. */
export function ceiling(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((end) => end >= value * 0.999999);
}

/** The path of a line over seconds; where a value is missing, it is broken. */
export function path(values, span, top) {
  let down = false;
  let text = "";
  values.forEach((value, index) => {
    if (value === null || value === undefined) {
      down = false;
      return;
    }
    const x = (WIDTH * (span - values.length + index + 1)) / span;
    const y = HEIGHT - (HEIGHT * Math.min(value, top)) / top;
    text += `${down ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
    if (!down) text += "h0"; // a single second is a dot
    down = true;
  });
  return text;
}

/** A chart with its title and the value of now. */
export class Chart {
  /**
   * lines: [{ name, of }], of takes a sample and gives a number or null. show writes a number.
   */
  constructor({ title, lines, show, span }) {
    Object.assign(this, { title, lines, show, span });
    this.paths = lines.map((_, index) => svg("path", { class: `line line-${index}` }));
    this.picture = svg("svg", {
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img",
    }, svg("path", { class: "grid", d: `M0 ${HEIGHT}H${WIDTH}M0 ${HEIGHT / 2}H${WIDTH}M0 0H${WIDTH}` }),
      ...this.paths);
    this.now = el("p", { class: "now" });
    this.top = el("span", { class: "top" });
    this.element = el("article", { class: "chart" },
      el("h3", {}, title), this.now,
      el("div", { class: "plot" }, this.picture, this.top, el("span", { class: "bottom" }, "0")));
    this.draw([]);
  }

  /** Draws samples, the oldest first; null is a second of which nothing is known. */
  draw(samples) {
    const values = this.lines.map(({ of }) => samples.map((one) => (one === null ? null : of(one))));
    const most = Math.max(0, ...values.flat().filter((value) => value !== null));
    const top = ceiling(most);
    this.paths.forEach((line, index) =>
      line.setAttribute("d", path(values[index], this.span, top)));
    this.top.textContent = this.show(top);
    const latest = values.map((line) => line.at(-1) ?? null);
    this.now.replaceChildren(...this.lines.map(({ name }, index) =>
      el("span", { class: this.lines.length > 1 ? `figure figure-${index}` : null },
        el("strong", {}, latest[index] === null ? "–" : this.show(latest[index])),
        name ? ` ${name}` : "")));
    const told = this.lines.map(({ name }, index) =>
      `${name ? `${name} ` : ""}now ${latest[index] === null ? "not known" : this.show(latest[index])}`);
    this.picture.setAttribute("aria-label",
      `${this.title} in the last two minutes: ${told.join(", ")}, at most ${this.show(most)}.`);
  }
}
