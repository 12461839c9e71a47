// Printed from core/api/src/rest/turn by `make generate`. Do not edit.

/**
 * An application that may hand out credentials of the relay.
 */
export type TurnKey = {
/**
 * Its identity, part of its key and of the credentials it hands out.
 */
id: string,
/**
 * The application above it, which may act for it.
 */
parent?: string,
/**
 * What the operator calls it.
 */
name: string,
/**
 * When it was made.
 */
created_at: number,
/**
 * `false`: it gets no credentials, and those it got are of no use.
 */
enabled: boolean,
/**
 * Its bounds.
 */
limits: TurnLimits,
/**
 * Web origins whose pages may ask with this key; empty: none.
 */
origins: Array<string>,
/**
 * Bytes relayed this calendar month (UTC), those of applications below included.
 */
month_bytes: number, };

/**
 * What one application may use; what is left out is not bounded.
 */
export type TurnLimits = {
/**
 * Allocations at the same time.
 */
sessions?: number,
/**
 * Bytes per calendar month (UTC), both ways together.
 */
bytes_per_month?: number,
/**
 * Bytes per second, both ways and all its sessions together; at least 1.
 */
bytes_per_second?: number, };

/**
 * Every application.
 */
export type TurnKeyList = {
/**
 * The oldest first.
 */
keys: Array<TurnKey>, };

/**
 * An application to be made.
 */
export type NewTurnKey = {
/**
 * What to call it.
 */
name: string,
/**
 * The application it stands below, which must not stand below one itself.
 */
parent?: string,
/**
 * Its bounds.
 */
limits?: TurnLimits,
/**
 * Web origins whose pages may ask with its key (`https://app.example.org`). Leave it empty when a server asks.
 */
origins?: Array<string>, };

/**
 * An application with its key, which is shown this once.
 */
export type MadeTurnKey = {
/**
 * The application.
 */
key: TurnKey,
/**
 * The secret: bearer token, or password beside the identity.
 */
secret: string, };

/**
 * What is to change; what is left out stays.
 */
export type ChangeTurnKey = {
/**
 * What to call it.
 */
name?: string,
/**
 * `false` ends its live sessions and makes what it got useless; `true` lets it get credentials again.
 */
enabled?: boolean,
/**
 * All of its bounds.
 */
limits?: TurnLimits,
/**
 * All of its origins.
 */
origins?: Array<string>, };

/**
 * A credential that is wanted.
 */
export type NewTurnCredential = {
/**
 * How many seconds it is good for: 1 to 172800 (48 hours), or fewer where the operator says so; a day if left out.
 */
ttl?: number,
/**
 * The application's own label for whoever gets it, of up to 64 characters: usage is told by it, and all its
 * credentials can be taken back together.
 */
tag?: string,
/**
 * The application it is for, if not the one that asks: one below it, or with an operator's key any.
 */
key?: string, };

/**
 * A credential, and where it is good.
 */
export type TurnCredential = {
/**
 * For `new RTCPeerConnection({ iceServers })`.
 */
ice_servers: Array<TurnIceServer>,
/**
 * The user name, which is also what to take back.
 */
username: string,
/**
 * Until when sessions may begin.
 */
expires_at: number,
/**
 * In so many seconds.
 */
ttl: number, };

/**
 * As W3C WebRTC's `RTCIceServer` has it.
 */
export type TurnIceServer = {
/**
 * `stun:`, `turn:` and `turns:` URLs.
 */
urls: Array<string>,
/**
 * For `turn:` and `turns:`.
 */
username?: string,
/**
 * For `turn:` and `turns:`.
 */
credential?: string, };

/**
 * What to take back: one credential, all of a label, or, with neither, all of the application.
 */
export type RevokeTurn = {
/**
 * The user name of one credential.
 */
username?: string,
/**
 * A label.
 */
tag?: string,
/**
 * The application, if not the one that asks.
 */
key?: string, };

/**
 * Live sessions that have ended.
 */
export type TurnEnded = {
/**
 * How many.
 */
ended: number, };

/**
 * A page of sessions.
 */
export type TurnSessionList = {
/**
 * The sessions.
 */
sessions: Array<TurnSession>,
/**
 * For `after`, when there are more.
 */
next?: string, };

/**
 * Somebody who relays.
 */
export type TurnSession = {
/**
 * Its identity.
 */
id: string,
/**
 * The application that handed out its credential; absent for this server's own calls and users.
 */
key?: string,
/**
 * The application's label.
 */
tag?: string,
/**
 * Its name at the relay.
 */
user: string,
/**
 * How it reaches the relay.
 */
transport: TurnTransport,
/**
 * Its address.
 */
client: string,
/**
 * Where its peers see it.
 */
relayed: Array<string>,
/**
 * When it began.
 */
started_at: number,
/**
 * When it ends unless it is refreshed.
 */
expires_at: number,
/**
 * From it.
 */
up: TurnFlow,
/**
 * To it.
 */
down: TurnFlow, };

/**
 * How a client reaches the relay.
 */
export type TurnTransport = "udp" | "tcp" | "tls" | "dtls";

/**
 * What passed one way.
 */
export type TurnFlow = {
/**
 * Packets.
 */
packets: number,
/**
 * Their payload.
 */
bytes: number, };

/**
 * How long what is added up is.
 */
export type TurnStep = "minute" | "hour" | "day" | "all";

/**
 * What is told apart.
 */
export type TurnSplit = "none" | "key" | "tag";

/**
 * Usage, in order of time.
 */
export type TurnUsageList = {
/**
 * At most 10000; steps in which nothing was relayed are left out.
 */
usage: Array<TurnUsage>,
/**
 * There are more than are shown: ask for less time, or longer steps.
 */
more: boolean, };

/**
 * What was relayed in one step.
 */
export type TurnUsage = {
/**
 * When the step begins.
 */
at: number,
/**
 * The application, where they are told apart; empty: this server's own calls and users.
 */
key?: string,
/**
 * Its label, where these are told apart.
 */
tag?: string,
/**
 * Sessions that began.
 */
sessions: number,
/**
 * Seconds that sessions lasted, all together.
 */
seconds: number,
/**
 * From clients.
 */
up: TurnFlow,
/**
 * To clients.
 */
down: TurnFlow,
/**
 * Fewest bytes, both ways, of one label in one minute.
 */
min_bytes: number,
/**
 * Most of them.
 */
max_bytes: number,
/**
 * How many minutes there were something in, each label for itself.
 */
count: number, };
