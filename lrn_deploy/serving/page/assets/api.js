// What is asked of the server, and how it says no.

import { titleOf } from "./words.js";

const base = new URL("../", import.meta.url); // right behind a proxy that adds a path, too
const KEY = "lrn-server-key";

/** The server said no, in words. */
export class Refusal extends Error {
  constructor(status, text, id, wait) {
    super(text);
    this.status = status;
    this.title = titleOf(status);
    this.id = id;
    this.wait = wait; // seconds after which it may say yes; null if it did not say
  }
}

/** The server did not answer. */
export class Away extends Error {}

let memory = null; // the key, where the tab has no storage
let wanted = null; // asks people for a key
let asking = null; // the question that is open, for all who wait for it

/** Who asks people for a key: a function of the server's reason that gives one, or null. */
export function askForKeysWith(ask) {
  wanted = ask;
}

function stored() {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null; // storage is switched off
  }
}

function store(key) {
  try {
    sessionStorage.setItem(KEY, key);
  } catch {
    memory = key;
  }
}

const key = () => stored() ?? memory;

/** Whether requests carry a key. */
export const keyed = () => key() !== null;

/** The address of a path of the server. */
export const address = (path) => new URL(path, base).href;

async function once(path, options, used) {
  const headers = new Headers(options.headers);
  if (used !== null) headers.set("authorization", `Bearer ${used}`);
  try {
    return await fetch(new URL(path, base), { ...options, headers, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Away("The server does not answer.");
  }
}

async function refusalOf(response) {
  let text = "";
  let id = response.headers.get("x-request-id");
  try {
    const body = await response.json();
    text = body.error ?? "";
    id = body.request_id ?? id;
  } catch {
    text = "It gave no reason.";
  }
  const wait = Number.parseInt(response.headers.get("retry-after"), 10);
  return new Refusal(response.status, text, id, Number.isNaN(wait) ? null : wait);
}

/** One request; asks for a key when the server does. Throws a Refusal, Away or an AbortError. */
export async function ask(path, options = {}) {
  for (;;) {
    const used = key();
    const response = await once(path, options, used);
    if (response.ok) return response;
    const refusal = await refusalOf(response);
    if (refusal.status !== 401 || wanted === null) throw refusal;
    if (used === key()) {
      asking ??= wanted(refusal).finally(() => { asking = null; });
      const given = await asking;
      if (given === null) throw refusal;
      store(given);
    }
  }
}

const json = async (path, options) => (await ask(path, options)).json();
const at = (model, what) => `v1/models/${encodeURIComponent(model)}/${what}`;

/** Every model by name, with its state and the reason for it. */
export const models = () => json("v2/repository/index", { method: "POST" });

/** What a model is. */
export const card = (model) => json(at(model, "card"));

/** Where a model's report is. */
export const report = (model) => at(model, "report");

// As a form, so that the server calls the image by its name where it cannot use it.
function form({ file, name }) {
  const body = new FormData();
  body.append("image", file, name);
  return body;
}

/** The likeliest classes of an image: { file, name }. */
export const classify = (model, image, top, signal) =>
  json(`v1/classify?model=${encodeURIComponent(model)}&top=${top}`,
    { method: "POST", body: form(image), signal });

/** How far the likeliest class falls where a part of an image is covered. */
export const occlude = (model, image, grid, signal) =>
  json(at(model, `occlude?grid=${grid}`), { method: "POST", body: form(image), signal });

/** The statistics, one event a second, until the server ends them. */
export async function* events(signal) {
  const response = await ask("v1/stats", { signal });
  yield null; // it is there
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    let part;
    try {
      part = await reader.read();
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Away("The server does not answer any more.");
    }
    if (part.done) throw new Away("The server has stopped.");
    const parts = (rest + part.value).split("\n\n");
    rest = parts.pop();
    for (const event of parts) {
      if (event.startsWith("data: ")) yield JSON.parse(event.slice(6));
    }
  }
}
