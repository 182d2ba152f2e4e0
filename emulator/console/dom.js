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

export function duration(ms) {
  if (ms === null || ms === undefined) return "–";
  return ms < 10_000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

export const number = (value) => (value === null || value === undefined ? "–" : String(value));

export const pretty = (value) => JSON.stringify(value, null, 2);

let fading;

/** Shows a notice at the bottom of the page for 8 seconds. */
export function notice(text) {
  byId("notice").textContent = text;
  clearTimeout(fading);
  fading = setTimeout(() => (byId("notice").textContent = ""), 8000);
}
