/* OpenAI's JavaScript client: the same scenarios and report as ../scenarios.py. */

import { connect } from "node:net";
import OpenAI from "openai";
import { zodResponseFormat, zodFunction } from "openai/helpers/zod";
import { z } from "zod";

const { WORKER_URL, WORKER_KEY, WORKER_BUSY_KEY, WORKER_MODEL, MAX_REQUESTS_PER_KEY } = process.env;
const PLAIN = { url: WORKER_URL, key: WORKER_KEY, model: WORKER_MODEL, text: "Say hello." };
const City = z.object({ name: z.string(), degrees: z.number().int() });
const DEGREES = { Paris: 21, Oslo: 9 };

const client = ({ url, key, retries = 0 } = PLAIN) =>
  new OpenAI({ baseURL: url, apiKey: key, maxRetries: retries });

const prompt = (text) => ({
  model: WORKER_MODEL,
  messages: [{ role: "developer", content: "Be brief." }, { role: "user", content: text }],
});

async function ask(asked) {
  const request = { ...prompt(asked.text), model: asked.model, top_p: asked.top_p ?? 1 };
  const answer = await client(asked).chat.completions.create(request);
  return answer.choices[0].message.content;
}

async function pieces(asked) {
  const request = { ...prompt(asked.text), stream: true, stream_options: { include_usage: true } };
  const got = [];
  for await (const chunk of await client(asked).chat.completions.create(request)) {
    if (chunk.choices[0]?.delta.content) got.push(chunk.choices[0].delta.content);
  }
  return got;
}

async function loop(question) {
  const ran = [];
  const get_weather = ({ city }) => {
    ran.push(city);
    return `${city}: ${DEGREES[city]} degrees`;
  };
  const parameters = { type: "object", properties: { city: { type: "string" } } };
  const tool = { function: get_weather, parse: JSON.parse, name: "get_weather", parameters };
  const runner = client().chat.completions.runTools({
    ...prompt(question),
    tools: [{ type: "function", function: tool }],
  });
  const answer = await runner.finalContent();
  return { turns: runner.allChatCompletions().length, ran, answer };
}

async function raised(work) {
  try {
    return `no error: ${await work()}`;
  } catch (error) {
    return error.constructor.name;
  }
}

/* Keeps the busy key at its limit of concurrent requests, with requests that send no body. */
async function takeAllSlots() {
  const { hostname, port } = new URL(WORKER_URL);
  const connecting = Array.from({ length: Number(MAX_REQUESTS_PER_KEY) }, async () => {
    const socket = connect(Number(port), hostname);
    socket.write(
      "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n" +
        `content-length: 9\r\nauthorization: Bearer ${WORKER_BUSY_KEY}\r\n\r\n`,
    );
    await new Promise((resolve, reject) => socket.once("data", resolve).once("error", reject));
    return socket;
  });
  const sockets = await Promise.all(connecting);
  return () => sockets.forEach((socket) => socket.destroy());
}

const scenarios = {
  chat: () => ask(PLAIN),
  async stream() {
    const got = await pieces(PLAIN);
    return { text: got.join(""), "in pieces": got.length > 1 };
  },
  tool_loop: () => loop("Which city is warmer?"),
  parallel_calls: () => loop("Ask for both at once."),
  async structured_output() {
    const request = { ...prompt("Describe Paris."), response_format: zodResponseFormat(City, "City") };
    return (await client().chat.completions.parse(request)).choices[0].message.parsed;
  },
  async structured_by_call() {
    const answer = await client().chat.completions.parse({
      ...prompt("Describe Paris by a call."),
      tools: [zodFunction({ name: "City", parameters: City })],
      tool_choice: { type: "function", function: { name: "City" } },
    });
    return answer.choices[0].message.tool_calls[0].function.parsed_arguments;
  },
  async reasoning() {
    const whole = await client().chat.completions.create(prompt(PLAIN.text));
    let streamed = "";
    const request = { ...prompt(PLAIN.text), stream: true };
    for await (const chunk of await client().chat.completions.create(request)) {
      streamed += chunk.choices[0].delta.reasoning ?? "";
    }
    return { whole: whole.choices[0].message.reasoning, streamed };
  },
  async errors() {
    const failing = { ...PLAIN, url: process.env.FAILING_URL };
    const cases = {
      "wrong key": { ...PLAIN, key: "wrong" },
      "bad value": { ...PLAIN, top_p: 3 },
      "unknown model": { ...PLAIN, model: "another" },
      "too long": { ...PLAIN, text: "word ".repeat(9000) },
      failing,
      booting: { ...PLAIN, url: process.env.BOOTING_URL },
    };
    const found = {};
    for (const [name, asked] of Object.entries(cases)) found[name] = await raised(() => ask(asked));
    found["failing in mid-stream"] = await raised(() => pieces(failing));
    const release = await takeAllSlots();
    found["too many"] = await raised(() => ask({ ...PLAIN, key: WORKER_BUSY_KEY }));
    release();
    return found;
  },
  async retries() {
    const started = performance.now();
    setTimeout(await takeAllSlots(), 200);
    const answer = await ask({ ...PLAIN, key: WORKER_BUSY_KEY, retries: 3 });
    return { answer, waited: performance.now() - started >= 1000 };
  },
};

const report = {};
for (const [name, scenario] of Object.entries(scenarios)) {
  try {
    report[name] = await scenario();
  } catch (error) {
    console.error(error);
    report[name] = String(error);
  }
}
console.log(JSON.stringify(report));
