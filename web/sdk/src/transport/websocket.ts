// One frame per WebSocket text message.
import type { Deps } from "../deps";
import { SUBPROTOCOL } from "../generated";
import type { OpenTransport } from "./transport";

export function websocketTransport(server: string, createSocket: Deps["createSocket"]): OpenTransport {
  return (handlers) => {
    const socket = createSocket(socketUrl(server), SUBPROTOCOL);
    let over = false;
    const gone = (): void => {
      if (over) return;
      over = true;
      handlers.closed();
    };
    socket.onopen = () => {
      if (!over) handlers.open();
    };
    socket.onmessage = (message: MessageEvent<unknown>) => {
      if (!over) handlers.frame(message.data);
    };
    socket.onclose = gone;
    socket.onerror = gone;
    return {
      send(frame) {
        if (!over && socket.readyState === OPEN) socket.send(JSON.stringify(frame));
      },
      close() {
        over = true;
        socket.onopen = socket.onmessage = socket.onclose = socket.onerror = null;
        socket.close();
      },
    };
  };
}

/** `https://host:1/` → `wss://host:1/signal`. */
export function socketUrl(server: string): string {
  const url = new URL("/signal", server);
  url.protocol = url.protocol === "http:" ? "ws:" : "wss:";
  return url.href;
}

const OPEN = 1;
