// Several clients open the same namespace, which nobody opened before, in the same instant: everybody hears everybody.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Manager } from "socket.io-client";
import { startServer } from "./server.js";

const CLIENTS = 6;
/** Namespaces opened at once on each connection; a connection may be in sixteen. */
const AT_ONCE = 12;
const ROUNDS = 20;

let server;
before(async () => { server = await startServer(); });
after(async () => { await server.stop(); });

/** As pages have it: a lost connection is made anew by itself. */
async function connect(count) {
  const managers = Array.from({ length: count }, () =>
    new Manager(server.url, { transports: ["websocket"], reconnectionDelay: 20, reconnectionDelayMax: 100 }));
  await Promise.all(managers.map((manager) => new Promise((resolve) => manager.socket("/").once("connect", resolve))));
  return managers;
}

/** Says its name again and again until everybody has heard everybody. */
async function everyoneHears(sockets) {
  const heard = sockets.map(() => new Set());
  sockets.forEach((socket, me) => socket.on("message", ({ sender }) => heard[me].add(sender)));
  const done = () => heard.every((names) => names.size === sockets.length - 1);
  for (let tries = 0; !done(); tries += 1) {
    if (tries === 50) return heard.map((names) => names.size);
    sockets.forEach((socket, me) => { if (socket.connected) socket.volatile.emit("message", { sender: `${me}` }); });
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return null;
}

test("nobody is deaf in a namespace that several open in the same instant", async () => {
  for (let round = 0; round < ROUNDS; round += 1) {
    const managers = await connect(CLIENTS);
    const rooms = Array.from({ length: AT_ONCE }, (_, room) => managers.map((manager) => manager.socket(`/race-${round}-${room}`)));
    const deaf = (await Promise.all(rooms.map(everyoneHears))).filter((left) => left !== null);
    assert.deepEqual(deaf, [], `round ${round}: how many others each client hears`);
    for (const manager of managers) manager._close();
  }
});
