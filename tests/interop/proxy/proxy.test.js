// What people reach through nginx, and whom the server takes them for.
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, test } from "node:test";
import { Manager } from "socket.io-client";
import { ask, open } from "./clients.js";
import { PER_ADDRESS, startBoth } from "./processes.js";

let both, url, signal;
before(async () => {
  both = await startBoth();
  url = `https://127.0.0.1:${both.outer}`;
  signal = `wss://127.0.0.1:${both.outer}/signal`;
});
after(async () => { await both.stop(); });

async function join(room, name, from) {
  const person = await open({ url: signal, from });
  person.say({ type: "join", room, name });
  return { person, joined: await person.hear("joined") };
}

test("pages and WebSockets come through, and the page's own origin is let in", async () => {
  assert.equal((await ask({ url: `${url}/readyz` })).code, 200);
  const [ann, bob] = [await join("calm", "Ann", "127.0.0.21"), await join("calm", "Bob", "127.0.0.22")];
  ann.person.say({ type: "message", id: 1, data: "hello" });
  assert.equal((await bob.person.hear("message")).data, "hello");
  const own = await open({ url: signal, from: "127.0.0.23", headers: { origin: url } });
  assert.equal(typeof own, "object", `refused with ${own}`);
  const foreign = await open({ url: signal, from: "127.0.0.23", headers: { origin: "https://evil.example" } });
  assert.equal(foreign, 403);
  await Promise.all([own.close(), ann.person.close(), bob.person.close()]);
});

test("long polling comes through: what waits is delivered when it happens", async () => {
  const { id } = JSON.parse((await ask({ url: `${url}/signal/poll`, method: "POST", body: '[{"type":"join","room":"poll","name":"Pia"}]' })).text);
  const first = JSON.parse((await ask({ url: `${url}/signal/poll/${id}?batch=1` })).text);
  assert.equal(first[0].type, "joined");
  const waiting = ask({ url: `${url}/signal/poll/${id}?batch=2` });
  const ann = await join("poll", "Ann", "127.0.0.21");
  assert.equal(JSON.parse((await waiting).text)[0].type, "participant_joined");
  assert.equal((await ask({ url: `${url}/signal/poll/${id}`, method: "DELETE" })).code, 204);
  await ann.person.close();
});

for (const transports of [["websocket"], ["polling"], ["polling", "websocket"]]) {
  test(`Socket.IO comes through: ${transports.join(" then ")}`, async () => {
    const manager = new Manager(url, { transports, reconnection: false, rejectUnauthorized: false });
    const socket = manager.socket("/tandem");
    socket.emit("frame", { type: "join", room: "socketio", name: "Sia" });
    assert.equal((await once(socket, "frame"))[0].type, "joined");
    manager._close();
  });
}

test("limits hold for each real client, whatever it claims to be", async () => {
  const held = [];
  for (let i = 0; i < PER_ADDRESS; i += 1) held.push(await open({ url: signal, from: "127.0.0.31" }));
  assert.ok(held.every((socket) => typeof socket === "object"), "its share");
  assert.equal(await open({ url: signal, from: "127.0.0.31" }), 429, "no more than that");
  const lies = { "x-forwarded-for": "198.51.100.7" };
  assert.equal(await open({ url: signal, from: "127.0.0.31", headers: lies }), 429, "nginx adds the truth, and only that is believed");
  const other = await open({ url: signal, from: "127.0.0.32" });
  assert.equal(typeof other, "object", "somebody else gets in");
  await Promise.all([other, ...held].map((socket) => socket.close()));
});

test("who comes around the proxy is not believed", async () => {
  const direct = `ws://127.0.0.1:${both.inner}/signal`;
  const held = [];
  for (let i = 0; i < PER_ADDRESS; i += 1) {
    held.push(await open({ url: direct, from: "127.0.0.41", headers: { "x-forwarded-for": `198.51.100.${i}` } }));
  }
  assert.ok(held.every((socket) => typeof socket === "object"));
  const another = open({ url: direct, from: "127.0.0.41", headers: { "x-forwarded-for": "198.51.100.99" } });
  // The listener itself closes it: it counts connections of everybody but the proxy.
  await assert.rejects(another, /hang up|reset/i);
  await Promise.all(held.map((socket) => socket.close()));
});

test("a large upload is refused", async () => {
  const body = "x".repeat(3 << 20);
  assert.equal((await ask({ url: `${url}/signal/poll`, method: "POST", body })).code, 413);
  const answer = await fetch(`http://127.0.0.1:${both.inner}/signal/poll`, { method: "POST", body });
  assert.equal(answer.status, 413, "not only by nginx");
});

test("a restart behind the proxy: everyone comes back to the same place", async () => {
  const { person, joined } = await join("restart", "Ann", "127.0.0.51");
  const [told] = await Promise.all([person.hear("draining"), both.stopTandem()]);
  assert.ok(told.reconnect_ms > 0);
  assert.equal((await ask({ url: `${url}/healthz` })).code, 502);
  await both.startTandem();
  const again = await open({ url: signal, from: "127.0.0.51" });
  again.say({ type: "resume", token: joined.resume_token, last: 1 });
  assert.equal((await again.hear("joined")).you, joined.you);
  await again.close();
});
