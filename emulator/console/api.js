// The emulator's HTTP, as the page uses it. Every request of a person becomes a snippet.

import { notice } from "./dom.js";
import { remember } from "./snippets.js";

export const ENDPOINT = "/v2/demo";
export const CHAT = `${ENDPOINT}/openai/v1/chat/completions`;

/** What a person asked for: shown as a snippet, and its answer's JSON; null if it was refused. */
export async function act(method, path, body) {
  remember(method, path, body);
  return ask(method, path, body);
}

/** Like `act`, for what the page asks on its own. */
export async function ask(method, path, body) {
  const answer = await fetch(path, request(method, body)).catch((error) => error);
  if (answer.ok) return answer.json();
  notice(answer instanceof Error ? `The emulator does not answer: ${answer.message}` : await answer.text());
  return null;
}

export function request(method, body) {
  if (body === undefined) return { method };
  return { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
}
