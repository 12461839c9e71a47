// `localStorage` and `sessionStorage` where there are any: a browser may forbid them, and then nothing is remembered.

export function readItem(key: string, storage = local()): string | null {
  try {
    return storage?.getItem(key) ?? null;
  } catch {
    return null;
  }
}

export function writeItem(key: string, value: string | null, storage = local()): void {
  try {
    if (value === null) storage?.removeItem(key);
    else storage?.setItem(key, value);
  } catch {
    // Full or forbidden: not remembered.
  }
}

/** What JSON another version, tab or person has left there; `null` when it cannot be read. */
export function readJson(key: string, storage = local()): unknown {
  const text = readItem(key, storage);
  if (text === null) return null;
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

export function session(): Storage | null {
  try {
    return globalThis.sessionStorage ?? null;
  } catch {
    return null;
  }
}

function local(): Storage | null {
  try {
    return globalThis.localStorage ?? null;
  } catch {
    return null;
  }
}
