// Numbers and refusals as people read them.

const TITLES = {
  400: "The server could not use this.",
  401: "The server asks for a key.",
  403: "That is not allowed here.",
  404: "The server does not have this any more.",
  408: "The upload took too long.",
  413: "This is too large.",
  429: "Too many requests just now.",
  503: "Not just now.",
};

/** What a status of HTTP means, in a sentence. */
export const titleOf = (status) => TITLES[status] ?? "The server failed at this.";

/** A probability from 0 to 1, in percent. */
export function percent(value) {
  const hundred = 100 * value;
  if (hundred > 0 && hundred < 0.1) return "under 0.1 %";
  if (hundred < 100 && hundred > 99.9) return "over 99.9 %";
  return `${hundred.toFixed(hundred === 0 || hundred === 100 ? 0 : 1)} %`;
}

/** A difference of two probabilities, in percentage points with a sign. */
export function points(value) {
  const hundred = 100 * value;
  if (hundred === 0) return "0";
  const size = Math.abs(hundred);
  if (size < 0.001) return "under 0.001";
  return (hundred < 0 ? "\u2212" : "+") + (size < 0.1 ? size.toPrecision(1) : size.toFixed(1));
}

/** Milliseconds. */
export function milliseconds(value) {
  if (value === null || value === undefined) return "–";
  if (value >= 1000) return `${(value / 1000).toFixed(value < 9950 ? 1 : 0)} s`;
  if (value >= 99.5) return `${value.toFixed(0)} ms`;
  return `${Number(value >= 0.1 ? value.toPrecision(2) : value.toFixed(2))} ms`;
}

/** A count or a rate. */
export function count(value) {
  if (value === null || value === undefined) return "–";
  if (value >= 100 || Number.isInteger(value)) return Math.round(value).toLocaleString("en");
  return value.toPrecision(2);
}

/** A number of bytes. */
export function bytes(value) {
  if (value >= 2 ** 20) return `${(value / 2 ** 20).toFixed(value < 10 * 2 ** 20 ? 1 : 0)} MiB`;
  return value >= 1024 ? `${Math.round(value / 1024)} KiB` : `${value} bytes`;
}

/** What a class is called. */
export const named = ({ label, index }) => label ?? `class ${index}`;

/** "1 layer", "2 layers". */
export const several = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;
