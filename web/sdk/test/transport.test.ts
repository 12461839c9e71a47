import { expect, test } from "vitest";
import { pollingTransport } from "../src/transport/polling";
import { socketUrl, websocketTransport } from "../src/transport/websocket";
import { settle } from "./fakes";

function handlers() {
  const happened: string[] = [];
  return {
    happened,
    open: () => void happened.push("open"),
    frame: (frame: unknown) => void happened.push(JSON.stringify(frame)),
    closed: () => void happened.push("closed"),
  };
}

test("the socket's address follows the server's", () => {
  expect(socketUrl("https://host.example:8443")).toBe("wss://host.example:8443/signal");
  expect(socketUrl("http://localhost:8080/")).toBe("ws://localhost:8080/signal");
});

test("a socket that fails and closes is gone once, and silent after close", () => {
  const socket = { readyState: 1, sent: [] as string[], closed: 0 } as unknown as WebSocket & { sent: string[] };
  socket.send = (text) => void socket.sent.push(text as string);
  socket.close = () => undefined;
  const heard = handlers();
  const transport = websocketTransport("https://host.example", () => socket)(heard);
  socket.onopen?.(new Event("open"));
  socket.onmessage?.(new MessageEvent("message", { data: "{}" }));
  transport.send({ type: "ping" });
  socket.onerror?.(new Event("error"));
  socket.onclose?.(new Event("close") as CloseEvent);
  expect(heard.happened).toEqual(["open", '"{}"', "closed"]);
  expect(socket.sent).toEqual(['{"type":"ping"}']);
  transport.close();
  expect(socket.onmessage).toBeNull();
});

/** A polling server whose answers are given by hand. */
class Poll {
  requests: { method: string; path: string; body: unknown }[] = [];
  #waiting: ((batch: unknown[] | number) => void)[] = [];
  /** How the next requests fail on the way. */
  lose = 0;

  fetch: typeof fetch = (input, init) => {
    const url = new URL(String(input));
    const method = init?.method ?? "GET";
    const body: unknown = typeof init?.body === "string" ? JSON.parse(init.body) : null;
    this.requests.push({ method, path: url.pathname + url.search, body });
    if (this.lose > 0) {
      this.lose -= 1;
      return Promise.reject(new TypeError("network"));
    }
    if (method === "GET") {
      return new Promise((resolve, reject) => {
        init?.signal?.addEventListener("abort", () => reject(new DOMException("aborted", "AbortError")));
        this.#waiting.push((answer) =>
          resolve(typeof answer === "number" ? new Response(null, { status: answer }) : Response.json(answer)),
        );
      });
    }
    if (url.pathname === "/signal/poll") return Promise.resolve(Response.json({ id: "a/b" }));
    return Promise.resolve(new Response(null, { status: 204 }));
  };

  async answer(batch: unknown[] | number): Promise<void> {
    this.#waiting.shift()?.(batch);
    await settle();
  }

  get log(): string[] {
    return this.requests.map(({ method, path }) => `${method} ${path}`);
  }
}

async function open() {
  const poll = new Poll();
  const heard = handlers();
  const transport = pollingTransport("https://host.example", poll.fetch)(heard);
  await settle();
  return { poll, heard, transport };
}

test("polling opens, asks for batch after batch, and repeats the number after an empty one", async () => {
  const { poll, heard } = await open();
  await poll.answer([{ n: 1 }, { n: 2 }]);
  await poll.answer([]);
  await poll.answer([{ n: 3 }]);
  expect(heard.happened).toEqual(["open", '{"n":1}', '{"n":2}', '{"n":3}']);
  expect(poll.log).toEqual([
    "POST /signal/poll",
    "GET /signal/poll/a%2Fb?batch=1",
    "GET /signal/poll/a%2Fb?batch=2",
    "GET /signal/poll/a%2Fb?batch=2",
    "GET /signal/poll/a%2Fb?batch=3",
  ]);
});

test("what is sent goes out in order, one numbered post at a time, repeated when it got lost", async () => {
  const { poll, transport } = await open();
  transport.send({ id: 1 });
  poll.lose = 1;
  transport.send({ id: 2 });
  transport.send({ id: 3 });
  await settle();
  const posts = poll.requests.filter(({ path }) => path.includes("post="));
  const numbers = posts.map(({ path }) => path.split("post=")[1]);
  expect(new Set(numbers).size).toBe(numbers.length - 1);
  const once = new Map(posts.map(({ path, body }) => [path, body]));
  expect([...once.values()].flat()).toEqual([{ id: 1 }, { id: 2 }, { id: 3 }]);
});

test("large frames are spread over several posts", async () => {
  const { poll, transport } = await open();
  for (let id = 1; id <= 5; id += 1) transport.send({ id, sdp: "x".repeat(30_000) });
  await settle();
  const posts = poll.requests.filter(({ path }) => path.includes("post="));
  expect(posts).toHaveLength(5);
  expect(posts.map(({ path }) => path.split("post=")[1])).toEqual(["1", "2", "3", "4", "5"]);
});

test.each([410, 404, 500])("an answer of %i means the transport is gone", async (status) => {
  const { poll, heard } = await open();
  await poll.answer(status);
  expect(heard.happened).toEqual(["open", "closed"]);
});

test("close sends what is queued, then forgets the transport", async () => {
  const { poll, heard, transport } = await open();
  transport.send({ type: "leave" });
  transport.close();
  await settle();
  expect(poll.requests.at(-2)).toMatchObject({ method: "POST", body: [{ type: "leave" }] });
  expect(poll.log.at(-1)).toBe("DELETE /signal/poll/a%2Fb");
  expect(heard.happened).toEqual(["open"]);
});
