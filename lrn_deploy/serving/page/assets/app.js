// The page: what people choose, and what becomes of it.

import { Away, askForKeysWith } from "./api.js";
import * as api from "./api.js";
import * as cards from "./card.js";
import { difference } from "./compare.js";
import { listen } from "./connection.js";
import { $, el } from "./dom.js";
import { Sheet } from "./draw.js";
import { askForKey } from "./key.js";
import { Live } from "./live.js";
import { lay } from "./occlusion.js";
import { pick } from "./picking.js";
import { Picture } from "./picture.js";
import { result, spoken } from "./results.js";
import { clear, explain, refuse } from "./trouble.js";
import { bytes } from "./words.js";

const TOP = 5;
const EVERY = 10_000; // classes at most, to compare
const GRID = 8;
const FORM = 1024; // bytes at most around a file that is sent
const SHEET_SIDE = 64; // pixels of a grey input up to which a digit may be drawn for it

const known = new Map(); // model -> its card
const picture = new Picture();
const sheet = new Sheet(() => drawn());
const live = new Live();
let index = []; // of the models, as the server lists them
let image = null; // what was asked about: { file, name }
let turn = 0; // of the latest question; answers to older ones are not shown
let asked = new AbortController();
let answered = false; // whether what is shown answers this image
let unanswered = false; // the server went away before it answered
let connection;

// What there is to ask.

const first = () => $("model").value;
const second = () => $("other").value;
const ready = () => index.filter((one) => one.state === "READY").map((one) => one.name);

function choices(select, names, none) {
  const before = select.value;
  select.replaceChildren(
    ...(none ? [el("option", { value: "" }, none)] : []),
    ...names.map((name) => el("option", { value: name }, name)));
  select.value = names.includes(before) ? before : (none ? "" : names[0] ?? "");
}

async function learn() {
  index = await api.models();
  known.clear();
  const names = ready();
  choices($("model"), names, names.length ? "" : "none is loaded");
  choices($("other"), names.filter((name) => name !== first()), "nothing");
  $("compare").hidden = names.length < 2;
  await chosen();
}

async function chosen() {
  const names = [first(), second()].filter(Boolean);
  live.choose(first());
  for (const name of names) if (!known.has(name)) known.set(name, await api.card(name));
  const missing = index.filter((one) => one.state !== "READY").map((one) =>
    el("p", { class: "note" }, `${one.name} is not there just now: ${one.reason}.`));
  $("cards").replaceChildren(
    ...(names.length ? names.map((name) => cards.drawn(known.get(name)))
      : [el("p", { class: "soft" }, "No model is loaded.")]), ...missing);
  const card = known.get(first());
  const draws = Boolean(card?.preprocessing && card.input.colors === "gray"
    && Math.max(card.input.width, card.input.height) <= SHEET_SIDE);
  $("ways").hidden = !draws;
  place();
}

// Where the image comes from.

const drawing = () =>
  !$("ways").hidden && document.querySelector("input[name=way]:checked").value === "draw";

function place() {
  const draws = drawing();
  $("drawing").hidden = !draws;
  $("stage").hidden = draws;
  (draws ? $("drawing") : $("place")).append(picture.figure);
  const shown = image !== null && image.drawn === draws;
  picture.figure.hidden = !shown;
  $("invitation").hidden = shown;
  $("looks").hidden = !(shown && answered);
}

function take(file, name, note, drawn = false) {
  const limit = known.get(first())?.limits.max_body_bytes;
  if (limit && file.size + FORM > limit) {
    return refuse(`'${name}' has ${bytes(file.size)}; this server takes up to ${bytes(limit)}. `
      + "Scale it down: the network sees a few hundred pixels a side.");
  }
  image = { file, name, drawn };
  answered = false;
  if (!drawn && drawing()) document.querySelector("input[name=way][value=image]").checked = true;
  picture.show(file, drawn ? "What is sent" : note ? `${name}. ${note}` : name);
  unlook();
  place();
  return question();
}

async function drawn() {
  if (sheet.empty) {
    asked.abort();
    image = null;
    answered = false;
    turn += 1;
    $("answer").replaceChildren(el("p", { class: "soft" }, "Draw a digit, or take one."));
    trouble();
    return place();
  }
  const mine = (turn += 1);
  const file = await sheet.picture();
  if (mine === turn) take(file, "drawing", "", true);
}

// Questions and answers.

async function question() {
  if (image === null) return;
  asked.abort();
  asked = new AbortController();
  const mine = (turn += 1);
  const names = [first(), second()].filter(Boolean);
  if (names.length === 0) {
    return refuse("No model is loaded on this server just now, so nothing can answer.");
  }
  $("answer").setAttribute("aria-busy", "true");
  const top = names.length > 1 ? EVERY : TOP;
  const { signal } = asked;
  const answers = await Promise.allSettled(names.map(async (name) => {
    const started = performance.now();
    const answer = await api.classify(name, image, top, signal);
    return { answer, seen: performance.now() - started };
  }));
  if (mine !== turn) return;
  $("answer").removeAttribute("aria-busy");
  const failed = answers.filter((one) => one.status === "rejected").map((one) => one.reason);
  if (failed.length) return trouble(failed[0]);
  trouble();
  answered = true;
  place();
  const given = answers.map((one) => one.value);
  $("answer").replaceChildren(el("div", { class: given.length > 1 ? "pair" : "" },
    ...given.map(({ answer, seen }) => result(answer, seen))));
  if (given.length > 1) $("answer").append(difference(given[0].answer, given[1].answer));
  $("said").textContent = given.map(({ answer }) => spoken(answer)).join(" ");
  if (looking()) look();
}

/** Says what went wrong, or that nothing did. What is on the screen stays. */
function trouble(error = null) {
  unanswered = error instanceof Away;
  if (error === null) return clear();
  if (error.name === "AbortError") return undefined;
  $("answer").removeAttribute("aria-busy");
  outdate();
  return explain(error, question);
}

/** Says that the answer that is shown is none to the image that is shown. */
function outdate() {
  const answer = $("answer").querySelector(".result");
  if (answer === null || answered || $("before") !== null) return;
  $("answer").prepend(el("p", { class: "soft", id: "before" }, "The answer to the image before:"));
}

// Where it looks.

const looking = () => $("look").getAttribute("aria-pressed") === "true";

function unlook() {
  $("looked").replaceChildren();
  picture.clear();
}

async function look() {
  const mine = turn;
  const name = first();
  const card = known.get(name);
  const grid = Math.min(GRID, card.input.width, card.input.height);
  $("looked").replaceChildren(el("p", { class: "soft" }, "Covering one part after the other."));
  try {
    const map = await api.occlude(name, image, grid, asked.signal);
    if (mine === turn && looking()) $("looked").replaceChildren(lay(picture, map));
  } catch (error) {
    $("looked").replaceChildren();
    if (mine === turn) trouble(error);
  }
}

// The server comes and goes.

function chip(text, state) {
  const where = $("connection");
  if (where.textContent !== text) where.textContent = text;
  where.className = `chip ${state}`;
}

async function back() {
  const owed = unanswered;
  await learn();
  if (owed) await question();
}

const on = {
  there(again) {
    $("away").hidden = true;
    chip("Connected", "good");
    if (again) guarded(back)();
  },
  event(event) {
    live.add(event);
    chip(event.ready ? "Ready" : "Not ready", event.ready ? "good" : "poor");
    const now = event.models.filter((one) => one.ready).map((one) => one.name);
    if (String(now) !== String(ready())) guarded(learn)();
  },
  away(text, seconds) {
    chip("Away", "poor");
    $("away").hidden = false;
    const said = `${text} What you see stays here; the page tries again by itself`;
    const soon = `, in ${Math.max(1, Math.round(seconds))} s.`;
    if (!$("away-text").textContent.startsWith(said)) {
      $("away-text").replaceChildren(said, el("span", { "aria-hidden": "true" }, soon));
    } else {
      $("away-text").lastChild.textContent = soon;
    }
    live.gap("No news from the server.");
  },
  refused(refusal) {
    chip("Connected", "good");
    $("away").hidden = true;
    live.gap(`${refusal.title} ${refusal.message}`);
  },
  paused: () => live.gap("Paused while nobody looks."),
};

const guarded = (act) => (...given) => act(...given).catch(trouble);

async function start() {
  askForKeysWith(askForKey);
  $("live").append(live.element);
  $("drawing").append(sheet.element);
  pick({ take: guarded(async (...given) => take(...given)), refuse });
  $("model").addEventListener("change", guarded(async () => {
    choices($("other"), ready().filter((name) => name !== first()), "nothing");
    unlook();
    await chosen();
    await question();
  }));
  $("other").addEventListener("change", guarded(async () => {
    await chosen();
    await question();
  }));
  $("ways").addEventListener("change", place);
  $("look").addEventListener("click", guarded(async () => {
    $("look").setAttribute("aria-pressed", String(!looking()));
    if (looking()) await look();
    else unlook();
  }));
  $("retry").addEventListener("click", () => connection.now());
  place();
  await guarded(learn)();
  connection = listen(on);
}

start();
