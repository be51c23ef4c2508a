// Elements, made of text and attributes only: nothing that a server says is ever read as markup.

const SVG = "http://www.w3.org/2000/svg";

/** The element of this page that has an id. */
export const $ = (id) => document.getElementById(id);

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

/** An element of HTML. Children are elements or text; null is none. */
export const el = (tag, attributes = {}, ...children) =>
  fill(document.createElement(tag), attributes, children);

/** An element of SVG. */
export const svg = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS(SVG, tag), attributes, children);

/** Sets a variable of the style sheet on an element, which the policy allows to scripts alone. */
export function styled(node, name, value) {
  node.style.setProperty(name, value);
  return node;
}

/** A table with a caption; the first cell of each row is its heading. */
export const table = (caption, titles, rows) =>
  el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    el("table", {},
      el("caption", {}, caption),
      el("thead", {}, el("tr", {}, titles.map((title) => el("th", { scope: "col" }, title)))),
      el("tbody", {}, rows.map(([first, ...cells]) =>
        el("tr", {},
          el("th", { scope: "row" }, first),
          cells.map((cell) => el("td", {}, cell)))))));

/** What is hidden until somebody wants to see it. */
export const folded = (summary, ...children) =>
  el("details", {}, el("summary", {}, summary), ...children);
