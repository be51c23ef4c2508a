// What a model does, second by second: throughput, latency, batches, queue, refusals.

import { Chart } from "./charts.js";
import { el, folded, table } from "./dom.js";
import { count, milliseconds } from "./words.js";

const SPAN = 120; // seconds that are shown
const TOLD = 10; // seconds in the table

const SERIES = [
  { title: "Throughput", unit: "images a second", show: count, lines: [
    { name: "images a second", of: (one) => one.rows / one.seconds }] },
  { title: "Latency", show: milliseconds, lines: [
    { name: "p50", of: (one) => one.p50 }, { name: "p99", of: (one) => one.p99 }] },
  { title: "Batch size", show: count, lines: [
    { name: "images a batch", of: (one) => (one.batches ? one.batched / one.batches : null) }] },
  { title: "Queue", show: count, lines: [
    { name: "waiting", of: (one) => one.queue }] },
  { title: "Refusals", show: count, lines: [
    { name: "a second", of: (one) => one.refused / one.seconds }] },
];

/** What an event of the server says of one model; null if it knows none of that name. */
export function sample(event, name, limited) {
  const model = event.models.find((one) => one.name === name);
  if (model === undefined) return null;
  const sizes = Object.entries(model.batches);
  return {
    seconds: event.seconds,
    rows: model.rows,
    p50: model.p50_ms,
    p99: model.p99_ms,
    batches: sizes.reduce((sum, [, times]) => sum + times, 0),
    batched: sizes.reduce((sum, [rows, times]) => sum + rows * times, 0),
    queue: model.queue.requests,
    refused: Object.values(model.failures).reduce((sum, many) => sum + many, 0) + limited,
  };
}

/** The charts of one model. */
export class Live {
  constructor() {
    this.charts = SERIES.map((series) => new Chart({ ...series, span: SPAN }));
    this.inner = el("div", {});
    this.table = folded("As a table", this.inner);
    this.state = el("p", { class: "soft" }, "Waiting for the first second.");
    this.element = el("div", {},
      this.state,
      el("div", { class: "charts" }, this.charts.map((chart) => chart.element)),
      this.table);
    this.table.addEventListener("toggle", () => this.tell());
    this.samples = [];
    this.events = [];
    this.limited = null;
  }

  /** From now on it shows the model of this name, with what is known of it. */
  choose(name) {
    this.name = name;
    this.samples = this.events.map((event) =>
      (event === null ? null : sample(event, name, event.limited)));
    this.draw();
  }

  /** One second. */
  add(event) {
    event.limited = this.limited === null ? 0 : Math.max(0, event.rate_limited - this.limited);
    this.limited = event.rate_limited;
    this.push(event);
    this.state.textContent = `${this.name ?? "No model"}, the last two minutes.`;
  }

  /** Seconds of which nothing is known, and why. */
  gap(why) {
    if (this.events.length && this.events.at(-1) !== null) this.push(null);
    this.limited = null;
    this.state.textContent = why;
  }

  push(event) {
    this.events = [...this.events, event].slice(-SPAN);
    const one = event === null ? null : sample(event, this.name, event.limited);
    this.samples = [...this.samples, one].slice(-SPAN);
    this.draw();
  }

  draw() {
    for (const chart of this.charts) chart.draw(this.samples);
    this.tell();
  }

  tell() {
    if (!this.table.open) return;
    const lines = SERIES.flatMap((series) => series.lines.map((line) => ({ ...line, series })));
    const rows = this.samples.slice(-TOLD).reverse().map((one, ago) => [
      ago === 0 ? "now" : `${ago} s ago`,
      ...lines.map(({ of, series }) => (one === null ? "–" : series.show(of(one)))),
    ]);
    this.inner.replaceChildren(table("The last ten seconds",
      ["When", "Images a second", "p50", "p99", "Images a batch", "Waiting", "Refused a second"],
      rows));
  }
}
