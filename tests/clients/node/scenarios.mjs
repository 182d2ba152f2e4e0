/* What the JavaScript clients share: the same scenarios and report as ../scenarios.py. */

import { connect } from "node:net";
import { z } from "zod";

const { WORKER_URL, WORKER_KEY, WORKER_BUSY_KEY, WORKER_MODEL, MAX_REQUESTS_PER_KEY } = process.env;
const { BOOTING_URL, FAILING_URL, SCENARIOS } = process.env;
const DEGREES = { Paris: 21, Oslo: 9 };

export const API = process.argv[2];
export const MODEL = WORKER_MODEL;
export const PLAIN = { url: WORKER_URL, key: WORKER_KEY, model: MODEL, text: "Say hello." };
export const COMPARE = "Which city is warmer?";
export const BOTH = "Ask for both at once.";
export const DESCRIBE = "Describe Paris.";
export const City = z.object({ name: z.string(), degrees: z.number().int() });

let ran = [];

export function getWeather({ city }) {
  ran.push(city);
  return `${city}: ${DEGREES[city]} degrees`;
}

/* What a tool loop reports; forgets the cities that it asked for. */
export function outcome(turns, answer) {
  const cities = ran;
  ran = [];
  return { turns, ran: cities, answer };
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

const common = (ask, pieces) => ({
  chat: () => ask(PLAIN),
  async stream() {
    const got = await pieces(PLAIN);
    return { text: got.join(""), "in pieces": got.length > 1 };
  },
  async errors() {
    const failing = { ...PLAIN, url: FAILING_URL };
    const cases = {
      "wrong key": { ...PLAIN, key: "wrong" },
      "bad value": { ...PLAIN, top_p: 3 },
      "unknown model": { ...PLAIN, model: "another" },
      "too long": { ...PLAIN, text: "word ".repeat(9000) },
      failing,
      booting: { ...PLAIN, url: BOOTING_URL },
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
    setTimeout(await takeAllSlots(), 500);
    const answer = await ask({ ...PLAIN, key: WORKER_BUSY_KEY, retries: 3 });
    return { answer, waited: performance.now() - started >= 1000 };
  },
});

/* Runs the scenarios and prints their results, by name, as one line of JSON. */
export async function report(ask, pieces, scenarios) {
  const chosen = (SCENARIOS ?? "").split(" ").filter(Boolean);
  const found = {};
  for (const [name, scenario] of Object.entries({ ...common(ask, pieces), ...scenarios })) {
    if (chosen.length && !chosen.includes(name)) continue;
    try {
      found[name] = await scenario();
    } catch (error) {
      console.error(error);
      found[name] = String(error);
    }
  }
  console.log(JSON.stringify(found));
}
