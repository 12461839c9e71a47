// Clients with an address of their own: one that speaks the session protocol over WebSocket, and plain HTTPS requests.
import https from "node:https";
import WebSocket from "ws";

/** A WebSocket to /signal, or the status code of the refusal. */
export function open({ url, from, headers = {} }) {
  const socket = new WebSocket(url, "tandem.v1", { localAddress: from, headers, rejectUnauthorized: false });
  const frames = [];
  let wake = () => {};
  let closed = false;
  socket.on("message", (text) => { frames.push(JSON.parse(text)); wake(); });
  socket.on("close", () => { closed = true; wake(); });
  return new Promise((resolve, reject) => {
    socket.once("unexpected-response", (request, response) => { request.destroy(); resolve(response.statusCode); });
    socket.once("error", reject);
    socket.once("open", () => resolve({
      say: (frame) => socket.send(JSON.stringify(frame)),
      close: () => new Promise((done) => { socket.once("close", done); socket.close(); }),
      /** The next frame of this type; `null` when the connection ends instead. */
      async hear(type) {
        for (;;) {
          const found = frames.findIndex((frame) => frame.type === type);
          if (found >= 0) return frames.splice(found, 1)[0];
          if (closed) return null;
          await new Promise((next) => { wake = next; });
        }
      },
    }));
  });
}

/** One HTTPS request; status and body. */
export function ask({ url, method = "GET", body = "", headers = {}, from = "127.0.0.8" }) {
  return new Promise((resolve, reject) => {
    const request = https.request(url, { method, headers, localAddress: from, rejectUnauthorized: false, agent: false }, (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (part) => { text += part; }).on("end", () => resolve({ code: answer.statusCode, text }));
    });
    request.once("error", reject);
    request.end(body);
  });
}
