// The likeliest classes of an image as bars, and where the time went.

import { el, styled } from "./dom.js";
import { milliseconds, named, percent } from "./words.js";

const SHOWN = 5;

/** The five likeliest classes that a model gave, and the time that it took. */
export function result(answer, milliseconds) {
  const [image] = answer.results;
  const shown = image.predictions.slice(0, SHOWN);
  return el("article", { class: "result" },
    el("h3", {}, answer.model),
    el("p", { class: "best" },
      el("strong", {}, named(shown[0])), " ", el("span", {}, percent(shown[0].probability))),
    el("ol", { class: "bars" }, shown.map(bar)),
    [answer.note, image.note].filter(Boolean).map((note) => el("p", { class: "note" }, note)),
    split(answer.timing, milliseconds));
}

function bar(one) {
  return el("li", {},
    el("span", { class: "label", title: named(one) }, named(one)),
    el("span", { class: "bar", "aria-hidden": "true" },
      styled(el("span", {}), "--part", one.probability)),
    el("span", { class: "value" }, percent(one.probability)));
}

/** The time of a request: in the server by what was done, and the way there and back. */
export function split(timing, seen) {
  const { decode_ms: decode, queue_ms: queue, compute_ms: compute, total_ms: total } = timing;
  const parts = [
    ["Decode", decode, "reading the image and making the network's input of it"],
    ["Queue", queue, "waiting for its turn"],
    ["Compute", compute, "the network"],
    ["Other", Math.max(0, total - decode - queue - compute), "between these in the server"],
    ["Way", Math.max(0, seen - total), "to the server and back, and this browser"],
  ];
  const all = parts.reduce((sum, [, time]) => sum + time, 0) || 1;
  return el("div", { class: "split" },
    el("div", { class: "strip", "aria-hidden": "true" },
      parts.map(([name, time]) =>
        styled(el("span", { class: name.toLowerCase() }), "--part", time / all))),
    el("dl", {},
      parts.map(([name, time, meaning]) =>
        el("div", { class: name.toLowerCase(), title: meaning },
          el("dt", {}, name), el("dd", {}, milliseconds(time))))));
}

/** The answer in one sentence, for who hears it. */
export function spoken(answer) {
  const [image] = answer.results;
  const [best, ...others] = image.predictions.slice(0, SHOWN).map(
    (one) => `${named(one)} ${percent(one.probability)}`);
  return `${answer.model}: ${best}${others.length ? `; then ${others.join(", ")}` : ""}.`;
}
