// What the relay's page asks of the server, with an operator's key. The shapes are the server's own.
import type {
  ChangeTurnKey,
  MadeTurnKey,
  NewTurnKey,
  TurnCredential,
  TurnEnded,
  TurnKey,
  TurnKeyList,
  TurnSessionList,
  TurnSplit,
  TurnStep,
  TurnUsageList,
} from "../../generated/turn.ts";

/** Why a request was not done: the server's words (RFC 9457), or that there was no answer. */
export class Refused extends Error {
  constructor(
    /** 0: there was no answer. */
    readonly status: number,
    /** For programs. */
    readonly kind: string,
    detail: string,
  ) {
    super(detail);
  }
}

export interface SessionsOf {
  readonly key?: string;
  readonly tag?: string;
  readonly after?: string;
}

export interface UsageOf {
  readonly key?: string;
  readonly tag?: string;
  readonly from: number;
  readonly to: number;
  readonly step: TurnStep;
  readonly split: TurnSplit;
}

type Parameters = Readonly<Record<string, string | number | undefined>>;

export class RelayApi {
  constructor(
    private readonly key: string,
    private readonly ask: typeof fetch = (...request) => fetch(...request),
  ) {}

  keys(): Promise<TurnKeyList> {
    return this.send("GET", "/keys");
  }

  make(key: NewTurnKey): Promise<MadeTurnKey> {
    return this.send("POST", "/keys", key);
  }

  change(id: string, to: ChangeTurnKey): Promise<TurnKey> {
    return this.send("PATCH", `/keys/${encodeURIComponent(id)}`, to);
  }

  renew(id: string): Promise<MadeTurnKey> {
    return this.send("POST", `/keys/${encodeURIComponent(id)}/secret`);
  }

  remove(id: string): Promise<void> {
    return this.send("DELETE", `/keys/${encodeURIComponent(id)}`);
  }

  sessions(of: SessionsOf): Promise<TurnSessionList> {
    return this.send("GET", `/sessions${query({ ...of, limit: 100 })}`);
  }

  end(session: string): Promise<void> {
    return this.send("DELETE", `/sessions/${encodeURIComponent(session)}`);
  }

  /** All of an application, or of one label of it. */
  takeBack(key: string, tag?: string): Promise<TurnEnded> {
    return this.send("POST", "/credentials/revoke", tag === undefined ? { key } : { key, tag });
  }

  usage(of: UsageOf): Promise<TurnUsageList> {
    return this.send("GET", `/usage${query({ ...of })}`);
  }

  /** One to try the relay with; it belongs to no application. */
  credential(ttl: number): Promise<TurnCredential> {
    return this.send("POST", "/credentials", { ttl });
  }

  private async send<T>(method: string, path: string, body?: object): Promise<T> {
    const headers: Record<string, string> = { authorization: `Bearer ${this.key}`, accept: "application/json" };
    if (body !== undefined) headers["content-type"] = "application/json";
    const request = { method, headers, body: body === undefined ? null : JSON.stringify(body) };
    const response = await this.ask(`/api/v1/turn${path}`, request).catch((error: unknown) => {
      throw new Refused(0, "no_answer", error instanceof Error ? error.message : "");
    });
    if (!response.ok) throw await refusal(response);
    return (response.status === 204 ? undefined : await response.json()) as T;
  }
}

async function refusal(response: Response): Promise<Refused> {
  const problem: unknown = await response.json().catch(() => null);
  const said = typeof problem === "object" && problem !== null ? (problem as Record<string, unknown>) : {};
  const text = (name: string): string => (typeof said[name] === "string" ? said[name] : "");
  return new Refused(response.status, text("type"), text("detail") || text("title"));
}

function query(parameters: Parameters): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) if (value !== undefined) search.set(name, String(value));
  const text = search.toString();
  return text === "" ? "" : `?${text}`;
}
