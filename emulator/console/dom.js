// DOM helpers and number formats, shared by all parts of the page.

/** Creates an element; names that are not properties (`class`, `aria-…`, `data-…`) are attributes. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export const byId = (id) => document.getElementById(id);

/** A button; `spoken` is its full name for screen readers. */
export function button(text, act, spoken = text, kind = "quiet") {
  return h("button", { type: "button", class: kind, "aria-label": spoken, onclick: act }, text);
}

/** Sets text only if it differs, so that selections and screen readers are not disturbed. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Milliseconds as seconds, the page's one unit: "0.116 s", "1.24 s", "12.4 s". */
export function duration(ms) {
  if (ms === null || ms === undefined) return "–";
  const digits = [1, 10, 100].filter((limit) => Math.abs(ms) / 1000 < limit).length;
  return `${(ms / 1000).toFixed(digits)} s`;
}

/** "1 job", "2 jobs". */
export const count = (number, thing) => `${number} ${thing}${number === 1 ? "" : "s"}`;

/** Tokens per second: "19.3", "34.0". */
export const rate = (value) => value?.toFixed(1) ?? "–";

export const number = (value) => (value === null || value === undefined ? "–" : String(value));

export const pretty = (value) => JSON.stringify(value, null, 2);

let fading;

/** Shows a notice at the bottom of the page for 8 seconds. */
export function notice(text) {
  byId("notice").textContent = text;
  clearTimeout(fading);
  fading = setTimeout(() => (byId("notice").textContent = ""), 8000);
}
