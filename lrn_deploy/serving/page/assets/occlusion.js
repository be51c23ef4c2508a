// Where a network looks: how far its answer falls when a part of the image is covered.

import { el, svg, table } from "./dom.js";
import { named, percent, points } from "./words.js";

/** A map over a picture, of which it may be a part; gives the sentences and the table beside it. */
export function lay(picture, map) {
  const { region, drops } = map;
  const name = named(map.class);
  const [rows, columns] = [drops.length, drops[0].length];
  const most = Math.max(...drops.flat().map(Math.abs)) || 1;
  const [height, width] = [region.height / rows, region.width / columns];
  const cells = drops.flatMap((line, row) => line.map((drop, column) => {
    const cell = svg("rect", {
      x: region.left + column * width, y: region.top + row * height, width, height,
      class: drop < 0 ? "rises" : "falls",
      "fill-opacity": (0.78 * Math.abs(drop) / most).toFixed(3),
    });
    cell.append(svg("title", {}, `${place(row, column)}: ${points(-drop)} points`));
    return cell;
  }));
  const whole = region.width >= 1 && region.height >= 1;
  const frame = whole ? [] : [svg("rect", {
    x: region.left, y: region.top, width: region.width, height: region.height, class: "region",
  })];
  const words = sentence(drops, name, map.class.probability);
  picture.cover([...cells, ...frame], words);
  return el("div", {},
    el("p", {}, words),
    el("p", { class: "soft" },
      el("span", { class: "key falls", "aria-hidden": "true" }), " covering it makes the answer "
        + "less likely, ", el("span", { class: "key rises", "aria-hidden": "true" }),
      ` more likely. ${map.rows} images in ${map.batches === 1 ? "one batch" : `${map.batches} batches`}.`),
    el("details", {}, el("summary", {}, "As a table"),
      table(`By how many percentage points '${name}' changes when a part is covered`,
        ["Row", ...drops[0].map((_, column) => `Column ${column + 1}`)],
        drops.map((line, row) => [String(row + 1), ...line.map((drop) => points(-drop))]))));
}

function sentence(drops, name, probability) {
  let [row, column] = [0, 0];
  drops.forEach((line, y) => line.forEach((drop, x) => {
    if (drop > drops[row][column]) [row, column] = [y, x];
  }));
  const drop = drops[row][column];
  if (drop <= 0) {
    return `No part matters for '${name}': whichever is covered, it stays at least as likely.`;
  }
  return `'${name}' (${percent(probability)}) falls most, by ${points(drop).replace("+", "")} points, when `
    + `${place(row, column)} is covered: ${where(row, drops.length, ["top", "middle", "bottom"])}, `
    + `${where(column, drops[0].length, ["left", "centre", "right"])}.`;
}

const place = (row, column) => `row ${row + 1}, column ${column + 1}`;
const where = (index, many, names) => names[Math.min(2, Math.floor((3 * (index + 0.5)) / many))];
