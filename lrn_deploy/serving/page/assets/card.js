// What a model is, where it is from, and how far it was checked.

import { address, ask, keyed, report } from "./api.js";
import { el, folded, table } from "./dom.js";
import { several } from "./words.js";

const VERDICTS = { pass: "Passed", limited: "Passed, in part", fail: "Failed", none: "Not checked" };

/** The card of a model. */
export function drawn(card) {
  const { parity, weights, lrn_layers: layers } = card;
  return el("article", { class: "card" },
    el("h3", {}, card.name),
    card.doubts.map((doubt) => el("p", { class: "note" }, doubt)),
    el("dl", {},
      row("Parity",
        el("span", { class: `badge ${parity.verdict}` }, VERDICTS[parity.verdict]),
        " ", parity.words),
      row("Network", card.network),
      row("Weights", weights.words,
        weights.sha256 ? el("code", { class: "hash" }, `SHA-256 ${weights.sha256}`) : null),
      row("Input", card.preprocessing
        ? el("ul", {}, card.preprocessing.words.map((text) => el("li", {}, text)))
        : card.input.words),
      row("Output", card.output),
      row("Precision", `${card.precision}, ${card.precision_words}`),
      row("Runs on", `${card.artifact} by ${card.backend} on ${card.device}: ${card.reason}`),
      row("LRN layers", layers.length ? lrn(layers) : "none"),
      card.report ? row("Report", reportLink(card.name)) : null));
}

const row = (name, ...values) => el("div", {}, el("dt", {}, name), el("dd", {}, ...values));

const lrn = (layers) => folded(several(layers.length, "layer"),
  table("Local Response Normalization",
    ["Layer", "Size", "Alpha", "Beta", "k", "In the graph"],
    layers.map((layer) =>
      [layer.name, layer.size, layer.alpha, layer.beta, layer.k, layer.form].map(String))));

// A link carries no key: where one is needed the page fetches the report and has it saved.
function reportLink(name) {
  const link = el("a", { href: address(report(name)), target: "_blank", rel: "noopener" },
    "what was checked and measured");
  link.addEventListener("click", async (event) => {
    if (!keyed()) return;
    event.preventDefault();
    const url = URL.createObjectURL(await (await ask(report(name))).blob());
    el("a", { href: url, download: `${name}-report.html` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  });
  return link;
}
