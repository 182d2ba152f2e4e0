// Elements and numbers, as every part of the page makes them.

/** An element with properties and children; `class`, `aria-…` and `data-…` are attributes. */
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

/** A button; `says` is its whole name for those who cannot see what it stands beside. */
export function button(text, act, says = text, kind = "quiet") {
  return h("button", { type: "button", class: kind, "aria-label": says, onclick: act }, text);
}

/** Sets text only where it differs, so that selections and screen readers are left in peace. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function duration(ms) {
  if (ms === null || ms === undefined) return "–";
  return ms < 10_000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

export const number = (value) => (value === null || value === undefined ? "–" : String(value));

export const pretty = (value) => JSON.stringify(value, null, 2);

let fading;

/** A notice at the foot of the page, for a while. */
export function notice(text) {
  byId("notice").textContent = text;
  clearTimeout(fading);
  fading = setTimeout(() => (byId("notice").textContent = ""), 8000);
}
