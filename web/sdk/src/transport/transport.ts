// What a session runs over: something that carries JSON values in order, or is gone.

export interface TransportHandlers {
  open(): void;
  /** One frame: JSON text, or a value that was JSON. */
  frame(frame: unknown): void;
  /** It is gone, or never came. Called once at most, and never after `close()`. */
  closed(): void;
}

export interface Transport {
  send(frame: object): void;
  /** Ends it; no handler is called any more. */
  close(): void;
}

export type TransportKind = "websocket" | "polling";
export type OpenTransport = (handlers: TransportHandlers) => Transport;
