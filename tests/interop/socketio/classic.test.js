// The vocabulary of small Socket.IO WebRTC servers, spoken by socket.io-client over each transport.
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import { Manager } from "socket.io-client";
import { startServer } from "./server.js";

let server;
before(async () => { server = await startServer(); });
after(async () => { await server.stop(); });

/** One page: a connection with `/` and, later, `/<channel>` on it. */
function page(transports) {
  const manager = new Manager(server.url, { transports, reconnection: false });
  const lobby = manager.socket("/");
  return { manager, lobby, enter: (channel) => manager.socket(`/${channel}`), leave: () => manager._close() };
}

/** Asks once and gives the first argument of the answer. */
async function ask(socket, event, argument, answer = event) {
  const answered = once(socket, answer);
  socket.emit(event, argument);
  return (await answered)[0];
}

/** In the room. A v4 client gives `connect` itself, without an argument: the protocol reserves the name. */
function welcomed(socket) {
  return new Promise((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("connect_error", reject);
  });
}

for (const transports of [["websocket"], ["polling"], ["polling", "websocket"]]) {
  describe(transports.join(" then "), () => {
    const room = `classic-${transports.join("-")}`;

    test("a channel is announced, entered, spoken in and left", async () => {
      const [ann, bob] = [page(transports), page(transports)];
      assert.equal(await ask(ann.lobby, "presence", room), false);
      ann.lobby.emit("new-channel", { channel: room, sender: "ann" });
      assert.equal(await ask(ann.lobby, "presence", room), true);
      const annIn = ann.enter(room);
      await welcomed(annIn);

      bob.lobby.emit("join-channel", { channel: room, sender: "bob" });
      assert.equal(await ask(bob.lobby, "presence", { channel: room }), true);
      const bobIn = bob.enter(room);
      await welcomed(bobIn);

      const toBob = once(bobIn, "message");
      let echo = false;
      annIn.on("message", () => { echo = true; });
      annIn.emit("message", { sender: "ann", data: "hello" });
      assert.deepEqual((await toBob)[0], { sender: "ann", data: "hello" });

      const unwrapped = once(bobIn, "message");
      annIn.emit("message", { sender: "ann", data: { sender: "ann", sdp: "v=0" } });
      assert.deepEqual((await unwrapped)[0], { sender: "ann", sdp: "v=0" });
      assert.equal(echo, false, "nobody hears themselves");

      const left = once(annIn, "user-left");
      bob.leave();
      assert.equal((await left)[0], "bob");
      ann.leave();
    });

    test("messages arrive in order", async () => {
      const [ann, bob] = [page(transports), page(transports)];
      ann.lobby.emit("new-channel", { channel: `${room}-order`, sender: "ann" });
      const annIn = ann.enter(`${room}-order`);
      await welcomed(annIn);
      const bobIn = bob.enter(`${room}-order`);
      await welcomed(bobIn);
      const heard = [];
      // Fifty at a time: a participant may say two hundred at once, and then fifty in a second.
      for (let next = 0; next < 150; next += 50) {
        const all = new Promise((resolve) => {
          bobIn.removeAllListeners("message");
          bobIn.on("message", (message) => { if (heard.push(message.number) === next + 50) resolve(); });
        });
        for (let number = next; number < next + 50; number += 1) annIn.emit("message", { sender: "ann", number });
        await all;
      }
      assert.deepEqual(heard, [...Array(150).keys()]);
      ann.leave();
      bob.leave();
    });

    test("a room that cannot be entered is a connect_error that says why", async () => {
      const ann = page(transports);
      await assert.rejects(welcomed(ann.enter("x".repeat(500))), /room/);
      ann.leave();
    });

    test("what cannot be understood is refused by name", async () => {
      const ann = page(transports);
      const annIn = ann.enter(`${room}-bad`);
      await welcomed(annIn);
      assert.equal((await ask(annIn, "message", "no object", "refused")).reason, "malformed");
      assert.match((await ask(ann.lobby, "new-channel", 7, "refused")).detail, /new-channel/);
      ann.leave();
    });

    test("the operator asks with a key, and nobody without", async () => {
      const ann = page(transports);
      const annIn = ann.enter(`${room}-admin`);
      await welcomed(annIn);
      const refused = await ask(ann.lobby, "admin_enquire", { ask: "channels" }, "response_to_admin_enquire");
      assert.match(refused.error, /key/);
      const key = server.createKey();
      const all = await ask(ann.lobby, "admin_enquire", { ask: "channels", key }, "response_to_admin_enquire");
      assert.ok(all.channels[`${room}-admin`], JSON.stringify(all));
      const one = { ask: "channel_clients", channel: `${room}-admin`, key };
      const clients = await ask(ann.lobby, "admin_enquire", one, "response_to_admin_enquire");
      assert.equal(clients.clients.length, 1);
      ann.leave();
    });
  });
}

describe("rooms are the same for everyone", () => {
  test("a classic client and one of the session protocol hear each other", async () => {
    const old = page(["websocket"]);
    old.lobby.emit("new-channel", { channel: "mixed", sender: "old" });
    const oldIn = old.enter("mixed");
    await welcomed(oldIn);
    const manager = new Manager(server.url, { transports: ["websocket"], reconnection: false });
    const own = manager.socket("/tandem");
    const frames = frameQueue(own);
    own.emit("frame", { type: "join", room: "mixed", name: "new" });
    const joined = await frames.next("joined");
    const classic = joined.participants.find((participant) => participant.client === "classic");
    // Both namespaces were opened at once: the name may come a moment after the participant.
    if (classic.name !== "old") assert.equal((await frames.next("participant_changed")).participant.name, "old");

    const toOld = once(oldIn, "message");
    own.emit("frame", { type: "message", id: 1, data: { any: "thing" } });
    assert.deepEqual((await toOld)[0], { sender: "new", data: { any: "thing" } });

    oldIn.emit("message", { sender: "old", data: 1 });
    assert.deepEqual((await frames.next("message")).data, { sender: "old", data: 1 });
    old.leave();
    assert.equal((await frames.next("participant_left")).participant, classic.id);
    manager._close();
  });

  test("frames of the session protocol are refused by name on Socket.IO, too", async () => {
    const manager = new Manager(server.url, { transports: ["polling"], reconnection: false });
    const own = manager.socket("/tandem");
    const frames = frameQueue(own);
    own.emit("frame", { type: "chat", id: 1, text: "hello" });
    assert.equal((await frames.next("refused")).reason, "not_joined");
    manager._close();
  });
});

function frameQueue(socket) {
  const waiting = [];
  let wake = () => {};
  socket.on("frame", (frame) => { waiting.push(frame); wake(); });
  return {
    async next(type) {
      for (;;) {
        const found = waiting.findIndex((frame) => frame.type === type);
        if (found >= 0) return waiting.splice(found, 1)[0];
        await new Promise((resolve) => { wake = resolve; });
      }
    },
  };
}
