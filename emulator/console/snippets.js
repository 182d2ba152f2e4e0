// The last action as code for a shell or for Python.

import { byId } from "./dom.js";

let last = null;
let language = "curl";
let model = "demo";

/** The model's name in the worker's answers; OpenAI's client requires one. */
export function setModel(name) {
  if (!name || name === model) return;
  model = name;
  show();
}

export function remember(method, path, body) {
  last = { method, path, body };
  show();
}

export function start() {
  for (const name of ["curl", "python"]) {
    byId(`as-${name}`).onclick = () => {
      language = name;
      for (const other of ["curl", "python"]) {
        byId(`as-${other}`).setAttribute("aria-pressed", String(other === name));
      }
      show();
    };
  }
  byId("copy").onclick = async () => {
    await navigator.clipboard.writeText(byId("snippet").textContent);
    byId("copy").textContent = "Copied";
    setTimeout(() => (byId("copy").textContent = "Copy"), 1500);
  };
}

function show() {
  if (last) byId("snippet").textContent = language === "curl" ? curl(last) : python(last);
}

function curl({ method, path, body }) {
  const url = location.origin + path;
  const head = method === "GET" || (method === "POST" && body !== undefined) ? "curl -N" : `curl -N -X ${method}`;
  if (body === undefined) return `${head} ${url}`;
  const text = JSON.stringify(body, null, 2).replaceAll("'", "'\\''");
  return `${head} ${url} \\\n  -H 'Content-Type: application/json' \\\n  -d '${text}'`;
}

function python(done) {
  const client = CLIENTS.find(([route]) => done.path.endsWith(route));
  if (client) return client[1](done.body);
  if (done.path.endsWith("/run")) return runpod(done.body);
  const given = done.body === undefined ? "" : `, json=${literal(done.body)}`;
  const call = `httpx.${done.method.toLowerCase()}("${location.origin}${done.path}"${given})`;
  return `import httpx\n\nprint(${call}.json())`;
}

const CLIENTS = [
  ["/chat/completions", (body) => openai("chat.completions", "chunk", "chunk.choices[0].delta if chunk.choices else chunk.usage", body)],
  ["/responses", (body) => openai("responses", "event", "event", body)],
  ["/messages", anthropic],
];

const fields = (body) => Object.entries({ model, ...body }).map(([name, value]) => `    ${name}=${literal(value, 1)},\n`).join("");

function openai(resource, item, shown, body) {
  return `from openai import OpenAI

client = OpenAI(base_url="${location.origin}/v2/demo/openai/v1", api_key="any")
stream = client.${resource}.create(
${fields(body)})
for ${item} in stream:
    print(${shown})`;
}

/** Its `create` has no `temperature`, but sends what `extra_body` has. */
function anthropic({ temperature, ...body }) {
  return `from anthropic import Anthropic

client = Anthropic(base_url="${location.origin}/v2/demo/openai", api_key="any")
stream = client.messages.create(
${fields({ ...body, extra_body: { temperature } })})
for event in stream:
    print(event)`;
}

function runpod(body) {
  return `import runpod

runpod.api_key = "any"
runpod.endpoint_url_base = "${location.origin}/v2"
job = runpod.Endpoint("demo").run(${literal(body)})
print(job.output(timeout=60))`;
}

/** A JSON value as a Python literal. */
function literal(value, depth = 0) {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value !== "object") return JSON.stringify(value);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  const items = Array.isArray(value)
    ? value.map((item) => literal(item, depth + 1))
    : Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}: ${literal(item, depth + 1)}`);
  const line = open + items.join(", ") + close;
  if (line.length < 60 && !line.includes("\n")) return line;
  const indent = "    ".repeat(depth);
  return `${open}\n${items.map((item) => `${indent}    ${item},\n`).join("")}${indent}${close}`;
}
