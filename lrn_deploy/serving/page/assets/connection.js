// Whether the server is there: one stream of statistics, taken up again whenever it breaks.

import { Away, Refusal, events } from "./api.js";

const FIRST = 0.5; // seconds before it is tried again, doubled each time
const LONGEST = 15;
const SILENT = 5; // seconds without an event after which the server counts as gone

/**
 * Listens for as long as the page lives, but not while nobody can see it.
 *
 * on.event(event), on.there(again), on.away(text, seconds), on.refused(refusal), on.paused()
 */
export function listen(on) {
  let failed = 0;
  let nudge = () => {};

  const visible = () => new Promise((resolve) => {
    if (!document.hidden) return resolve();
    on.paused();
    document.addEventListener("visibilitychange", function seen() {
      if (document.hidden) return;
      document.removeEventListener("visibilitychange", seen);
      resolve();
    });
  });

  const pause = (seconds) => new Promise((resolve) => {
    const timer = setTimeout(resolve, 1000 * seconds);
    nudge = () => { clearTimeout(timer); resolve(); };
  });

  async function stream() {
    const abort = new AbortController();
    const hide = () => document.hidden && abort.abort();
    document.addEventListener("visibilitychange", hide);
    let silent = false;
    let watch = 0;
    const heard = () => {
      clearTimeout(watch);
      watch = setTimeout(() => { silent = true; abort.abort(); }, 1000 * SILENT);
    };
    try {
      heard();
      for await (const event of events(abort.signal)) {
        heard();
        if (event === null) {
          on.there(failed > 0);
          failed = 0;
        } else {
          on.event(event);
        }
      }
    } catch (error) {
      if (error.name !== "AbortError") throw error;
      if (silent) throw new Away("The server has fallen silent.");
    } finally {
      clearTimeout(watch);
      document.removeEventListener("visibilitychange", hide);
    }
  }

  (async () => {
    for (;;) {
      await visible();
      try {
        await stream();
      } catch (error) {
        const seconds = Math.min(LONGEST, FIRST * 2 ** failed) * (0.8 + 0.4 * Math.random());
        if (error instanceof Refusal) {
          on.refused(error);
          await pause(error.wait ?? LONGEST);
        } else if (error instanceof Away) {
          failed += 1;
          on.away(error.message, seconds);
          await pause(seconds);
        } else {
          throw error;
        }
      }
    }
  })();

  window.addEventListener("online", () => nudge());
  return { now: () => nudge() };
}
