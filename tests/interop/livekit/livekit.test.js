// Tokens by AccessToken enter; tokens by another secret do not. Webhooks pass WebhookReceiver, and only with their signature.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { AccessToken, TokenVerifier, TrackSource, WebhookReceiver } from "livekit-server-sdk";
import { startServer } from "./server.js";

let server;
let hooks;
/** What has come to the webhook: body and signature. */
const arrived = [];

before(async () => {
  hooks = createServer((request, response) => {
    let body = "";
    request.setEncoding("utf8").on("data", (part) => { body += part; }).on("end", () => {
      arrived.push({ body, authorization: request.headers.authorization, type: request.headers["content-type"] });
      response.end();
    });
  });
  await new Promise((resolve) => hooks.listen(0, "127.0.0.1", resolve));
  server = await startServer((key) => ["--webhooks.urls", `http://127.0.0.1:${hooks.address().port}/hook`, "--webhooks.key", key.id]);
});
after(async () => {
  await server.stop();
  hooks.close();
});

/** A token as a site's backend makes it. */
function token(identity, grant, { secret = server.key.secret, ...options } = {}) {
  const made = new AccessToken(server.key.id, secret, { identity, ttl: 60, ...options });
  made.addGrant(grant);
  return made.toJwt();
}

/** Joins by long polling, and what is said to that first. */
async function join(room, token) {
  const frames = [{ type: "join", room, name: "Somebody", token }];
  const opened = await (await fetch(`${server.url}/signal/poll`, { method: "POST", body: JSON.stringify(frames) })).json();
  const at = `${server.url}/signal/poll/${opened.id}`;
  const [first] = await (await fetch(`${at}?batch=1`)).json();
  const leave = () => fetch(`${at}?post=1`, { method: "POST", body: JSON.stringify([{ type: "leave", id: 1 }]) });
  return { first, leave };
}

async function event(name) {
  for (;;) {
    const found = arrived.find(({ body }) => JSON.parse(body).event === name);
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test("a token made by the library enters, as whom and with what it says", async () => {
  const grant = { room: "lecture", roomJoin: true, canPublishSources: [TrackSource.MICROPHONE], canPublishData: false };
  const { first, leave } = await join("lecture", await token("user-42", grant, { name: "Ann", metadata: "seat 7" }));
  assert.equal(first.type, "joined", JSON.stringify(first));
  const [ann] = first.participants;
  assert.deepEqual([ann.identity, ann.name, ann.metadata], ["user-42", "Ann", "seat 7"]);
  assert.deepEqual(ann.may, { publish: { audio: true, video: false, screen: false }, subscribe: true, data: false, admin: false });
  await leave();
});

test("what the library makes with another secret, for another room, or too late, does not", async () => {
  const grant = { room: "lecture", roomJoin: true };
  assert.equal((await join("lecture")).first.reason, "token_needed");
  for (const [made, room, says] of [
    [await token("eve", grant, { secret: "guessed" }), "lecture", "signature is wrong"],
    [await token("eve", grant), "office", "for the room `lecture`"],
    [await token("eve", grant, { ttl: "-1m" }), "lecture", "has expired"],
    [await token("eve", { ...grant, hidden: true }), "lecture", "seen by the others"],
    [await token("eve", { room: "lecture" }), "lecture", "roomJoin"],
  ]) {
    const { first } = await join(room, made);
    assert.equal(first.reason, "bad_token");
    assert.ok(first.detail.includes(says), first.detail);
  }
});

test("the library's tokens open the API as far as they go", async () => {
  const ask = async (path, grant, method = "GET") => {
    const made = await token(undefined, grant);
    return (await fetch(`${server.url}/api/v1${path}`, { method, headers: { authorization: `Bearer ${made}` } })).status;
  };
  assert.equal(await ask("/rooms", { roomCreate: true }, "POST"), 201);
  assert.equal(await ask("/rooms", { roomList: true }), 200);
  assert.equal(await ask("/rooms", { roomAdmin: true, room: "lecture" }), 403);
  assert.equal(await ask("/rooms/nowhere", { roomAdmin: true, room: "nowhere" }), 404);
  assert.equal(await ask("/rooms/elsewhere", { roomAdmin: true, room: "nowhere" }), 403);
});

test("a token of ours is one to the library", async () => {
  const made = server.tandem("token", "create", "--key-id", server.key.id, "--room", "lecture", "--identity", "chair", "--admin");
  const claims = await new TokenVerifier(server.key.id, server.key.secret).verify(made);
  assert.equal(claims.sub, "chair");
  assert.deepEqual(claims.video, { room: "lecture", roomJoin: true, roomAdmin: true });
});

test("the library takes our webhooks, and no others", async () => {
  const grant = { room: "hall", roomJoin: true };
  const { leave } = await join("hall", await token("user-7", grant, { name: "Bob", metadata: "row 3" }));
  await leave();
  const receiver = new WebhookReceiver(server.key.id, server.key.secret);
  const finished = async () => {
    for (;;) {
      const all = arrived.filter(({ body }) => JSON.parse(body).room.name === "hall");
      if (all.length >= 4) return all;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  const all = await finished();
  const events = await Promise.all(all.map(({ body, authorization }) => receiver.receive(body, authorization)));
  assert.deepEqual(events.map((told) => told.event), ["room_started", "participant_joined", "participant_left", "room_finished"]);
  const [started, joined, left] = events;
  assert.equal(joined.room.sid, started.room.sid);
  assert.deepEqual([joined.participant.identity, joined.participant.name, joined.participant.metadata], ["user-7", "Bob", "row 3"]);
  assert.equal(joined.participant.permission.canSubscribe, true);
  assert.equal(left.participant.disconnectReason, 1, "CLIENT_INITIATED");
  assert.ok(Math.abs(Number(started.createdAt) - Date.now() / 1000) < 60);
  assert.equal(all[0].type, "application/webhook+json");

  const { body, authorization } = await event("room_started");
  await assert.rejects(receiver.receive(`${body} `, authorization), /checksum/);
  await assert.rejects(new WebhookReceiver(server.key.id, "guessed").receive(body, authorization), /signature/);
});
