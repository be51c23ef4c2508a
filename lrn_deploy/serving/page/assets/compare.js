// Two answers to the same image, and how far they are apart.

import { el, table } from "./dom.js";
import { named, percent, points } from "./words.js";

const SHOWN = 5;

/** Classes by name with both probabilities; those that only one knows are left out. */
function shared(first, second) {
  const [one, two] = [first, second].map(
    (answer) => new Map(answer.results[0].predictions.map((item) => [named(item), item])));
  return [...one.values()]
    .filter((item) => two.has(named(item)))
    .map((item) => ({
      name: named(item),
      first: item.probability,
      second: two.get(named(item)).probability,
    }));
}

/** The difference in words, and as a table of what either finds likely. */
export function difference(first, second) {
  const classes = shared(first, second);
  if (classes.length === 0) {
    return el("div", { class: "difference" },
      el("p", {}, "They know different classes, so their answers cannot be compared one by one."));
  }
  const apart = (item) => item.second - item.first;
  const widest = classes.reduce((most, item) =>
    Math.abs(apart(item)) > Math.abs(apart(most)) ? item : most);
  const [one, two] = [first, second].map((answer) => named(answer.results[0].predictions[0]));
  const verdict = one === two
    ? `Both say ${one}.`
    : `${first.model} says ${one}, ${second.model} says ${two}.`;
  const distance = apart(widest) === 0
    ? `All ${classes.length} probabilities are the same.`
    : `Of ${classes.length} classes they differ most at ${widest.name}: `
      + `${points(apart(widest))} percentage points.`;
  const rows = classes
    .sort((a, b) => Math.max(b.first, b.second) - Math.max(a.first, a.second))
    .slice(0, SHOWN)
    .map((item) =>
      [item.name, percent(item.first), percent(item.second), points(apart(item))]);
  return el("div", { class: "difference" },
    el("h3", {}, "Difference"),
    el("p", {}, el("strong", {}, verdict), " ", distance),
    table("What either finds likely; the difference in percentage points",
      ["Class", first.model, second.model, "Difference"], rows));
}
