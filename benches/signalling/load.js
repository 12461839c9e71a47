// The load, a process of its own: opens connections, lets members of rooms speak, counts what arrives.
//
// Each speaker keeps WINDOW messages under way: as soon as one has reached everybody else in the room it says another.
import { WebSocket } from "ws";

const WINDOW = 8;
/** As long as a trickled ICE candidate with its envelope. */
const DATA = { candidate: "candidate:842163049 1 udp 1677729535 203.0.113.7 46154 typ srflx raddr 0.0.0.0 rport 0 generation 0", sdpMid: "0" };
const OPENING = 64;

const dialects = { tandem, relay, classic };
let members = [];

process.on("message", async ({ command, ...rest }) => {
  try {
    process.send({ answer: command, ...(await commands[command](rest)) });
  } catch (error) {
    process.send({ answer: command, error: String(error.stack ?? error) });
  }
});

const commands = {
  /** `rooms` rooms of `size`. */
  async open({ dialect, url, rooms, size }) {
    members = [];
    const wanted = Array.from({ length: rooms * size }, (_, index) => index);
    const opener = async () => {
      for (let index = wanted.shift(); index !== undefined; index = wanted.shift()) {
        const room = Math.floor(index / size);
        members[index] = await dialects[dialect](url, `bench-${size}-${room}`, `m${index}`);
        members[index].room = room;
      }
    };
    await Promise.all(Array.from({ length: OPENING }, opener));
    return { open: members.length };
  },
  async talk({ size, messages }) {
    const began = process.hrtime.bigint();
    const deliveries = await talk(size, messages);
    return { deliveries, seconds: Number(process.hrtime.bigint() - began) / 1e9 };
  },
  async close() {
    const closed = members.map((member) => new Promise((resolve) => { member.socket.once("close", resolve); member.socket.close(); }));
    await Promise.all(closed);
    members = [];
    return {};
  },
};

/** The first of each room speaks until `messages` have been said in all; resolves when all have been heard. */
function talk(size, messages) {
  return new Promise((resolve, reject) => {
    const speakers = members.filter((_, index) => index % size === 0);
    const others = size - 1;
    let said = 0;
    let heard = 0;
    const say = (speaker) => {
      if (said < messages) {
        said += 1;
        speaker.say({ ...DATA, said });
      }
    };
    const heardOf = new Map();
    members.forEach((member, index) => {
      member.onLost = () => reject(new Error("a connection was lost"));
      member.onMessage = () => {
        heard += 1;
        const speaker = speakers[Math.floor(index / size)];
        const count = (heardOf.get(speaker) ?? 0) + 1;
        heardOf.set(speaker, count);
        if (count % others === 0) say(speaker);
        if (heard === messages * others) resolve(heard);
      };
    });
    for (const speaker of speakers) for (let under = 0; under < WINDOW; under += 1) say(speaker);
  });
}

/** A connection, with `onText` for each message. */
function connect(url, protocol) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, protocol ? [protocol] : [], { perMessageDeflate: false });
    const member = { socket, onMessage: () => {}, onLost: () => {}, onText: () => {} };
    socket.on("message", (bytes) => member.onText(bytes.toString()));
    socket.once("open", () => resolve(member));
    socket.once("error", reject);
    socket.once("close", () => member.onLost());
  });
}

/** Our own protocol: requests are numbered; events are acknowledged by number and by time, as our client does. */
async function tandem(url, room, name) {
  const member = await connect(`${url}/signal`, "tandem.v1");
  let id = 0;
  let seen = 0;
  let acknowledged = 0;
  const joined = new Promise((resolve, reject) => {
    member.onText = (text) => {
      const frame = JSON.parse(text);
      if (frame.n) seen = frame.n;
      if (frame.type === "message") member.onMessage(frame.data);
      else if (frame.type === "joined") resolve();
      else if (frame.type === "refused" || frame.outcome === "refused") {
        console.error("refused", text);
        reject(new Error(text));
      }
      if (seen - acknowledged >= 32) acknowledge();
    };
  });
  const acknowledge = () => {
    if (seen === acknowledged) return;
    acknowledged = seen;
    member.socket.send(`{"type":"ack","n":${seen}}`);
  };
  setInterval(acknowledge, 1000);
  member.socket.send(JSON.stringify({ type: "join", room, name }));
  await joined;
  member.say = (data) => {
    id += 1;
    member.socket.send(JSON.stringify({ type: "message", id, data }));
  };
  return member;
}

/** Engine.IO 4 and Socket.IO 5 packets, the least a client says. */
async function socketio(url) {
  const member = await connect(`${url}/socket.io/?EIO=4&transport=websocket`);
  member.onPacket = () => {};
  member.onText = (text) => {
    if (text === "2") member.socket.send("3");
    else member.onPacket(text);
  };
  return member;
}

async function until(member, wanted) {
  await new Promise((resolve) => { member.onPacket = (text) => { if (wanted(text)) resolve(); }; });
}

/** The plain socket.io server. */
async function relay(url, room) {
  const member = await socketio(url);
  member.socket.send("40");
  await until(member, (text) => text.startsWith("40"));
  member.socket.send(`420["join",${JSON.stringify(room)}]`);
  await until(member, (text) => text.startsWith("430"));
  member.onPacket = (text) => {
    if (text.startsWith('42["message"')) member.onMessage(JSON.parse(text.slice(2))[1]);
  };
  member.say = (data) => member.socket.send(`42${JSON.stringify(["message", room, data])}`);
  return member;
}

/** Our classic vocabulary: the room is a namespace. */
async function classic(url, room, name) {
  const member = await socketio(url);
  const head = `/${room},`;
  member.socket.send(`40${head}`);
  await until(member, (text) => text.startsWith(`40${head}`));
  member.onPacket = (text) => {
    if (text.startsWith(`42${head}["message"`)) member.onMessage(JSON.parse(text.slice(2 + head.length))[1]);
  };
  member.say = (data) => member.socket.send(`42${head}${JSON.stringify(["message", { sender: name, ...data }])}`);
  return member;
}
