// Requests to the emulator. Every user action becomes a snippet.

import { notice } from "./dom.js";
import { remember } from "./snippets.js";

export const ENDPOINT = "/v2/demo";

/** A user action: shown as a snippet. Returns the reply's JSON; null, with a notice, if it failed. */
export async function act(method, path, body) {
  remember(method, path, body);
  return ask(method, path, body);
}

/** Like `act`, for requests that the page makes by itself. */
export async function ask(method, path, body) {
  const answer = await fetch(path, request(method, body)).catch((error) => error);
  if (answer.ok) return answer.json();
  notice(answer instanceof Error ? `The emulator is not responding: ${answer.message}` : await answer.text());
  return null;
}

export function request(method, body) {
  if (body === undefined) return { method };
  return { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
}
