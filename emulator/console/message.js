// A conversation, whatever API it is sent by. A turn of it is one of
//
//   {question}   {message}   {results: [{call, text}]}
//
// and a message has its parts in the order in which the model wrote them:
//
//   {kind: "reasoning", text, capsule}   {kind: "text", text}   {kind: "call", id, name, text}
//
// A capsule is the reasoning's exact tokens as the worker seals them; chat has none. Each file of
// `dialects/` turns a conversation into its API's request, and its API's events into a message.

export const emptyMessage = () => ({ parts: [], finish: null, tokens: null });

/** The part with the API's own `key`; the first time, it is added with these fields. */
export function partAt(message, key, fields) {
  const known = message.parts.find((part) => part.key === key);
  if (known) return known;
  message.parts.push({ key, text: "", ...fields });
  return message.parts.at(-1);
}

export const callsOf = ({ parts }) => parts.filter(({ kind }) => kind === "call");

export const textOf = ({ parts }, kind) => parts.filter((part) => part.kind === kind).map(({ text }) => text).join("");
