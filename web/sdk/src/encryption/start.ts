// Starts the worker. Under a policy of Trusted Types the address of a script has to come from a policy of ours, which lets
// through this one address and nothing else.
import { canEncryptMedia } from "./media";
/// <reference path="./worker-address.d.ts" />
import address from "./worker?worker&url";

interface TrustedTypes {
  createPolicy(
    name: string,
    rules: { createScriptURL(url: string): string },
  ): { createScriptURL(url: string): unknown };
}

export function createCipherWorker(): Worker | null {
  if (!canEncryptMedia()) return null;
  return new Worker(trusted() as string, { type: "module", name: "tandem-encryption" });
}

/** A page may create a policy of one name only once. */
let known: unknown = null;

function trusted(): unknown {
  const types = (globalThis as { trustedTypes?: TrustedTypes }).trustedTypes;
  known ??= types?.createPolicy("tandem-worker", { createScriptURL: only }).createScriptURL(address) ?? address;
  return known;
}

function only(url: string): string {
  if (url !== address) throw new TypeError("this is no script of ours");
  return url;
}
