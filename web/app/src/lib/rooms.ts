// Names of rooms and the links that lead to them.

const CONSONANTS = "bdfghjklmnprstvwz";
const VOWELS = "aeiou";
const WORDS = 3;
const SYLLABLES_A_WORD = 3;

/** Pronounceable and hard to guess: nine syllables of 85, 57 bits. */
export function suggestRoomName(): string {
  const random = crypto.getRandomValues(new Uint32Array(WORDS * SYLLABLES_A_WORD));
  const syllables = Array.from(random, (number) => {
    const consonant = CONSONANTS[number % CONSONANTS.length] ?? "";
    const vowel = VOWELS[Math.floor(number / CONSONANTS.length) % VOWELS.length] ?? "";
    return consonant + vowel;
  });
  return Array.from({ length: WORDS }, (_, word) =>
    syllables.slice(word * SYLLABLES_A_WORD, (word + 1) * SYLLABLES_A_WORD).join(""),
  ).join("-");
}

/** What a person typed, as it may stand in a link. The server has the last word on it. */
export function tidyRoomName(typed: string): string {
  return typed
    .normalize("NFC")
    .trim()
    .toLowerCase()
    .replace(/[^\p{L}\p{M}\p{N}_]+/gu, "-")
    .replace(/^-+|-+$/g, "");
}

export function roomLink(origin: string, room: string): string {
  return `${origin}/r/${encodeURIComponent(room)}`;
}

export function callLink(origin: string, room: string): string {
  return `${origin}/call/${encodeURIComponent(room)}`;
}

/** The room a page's path names: `/r/<room>` or `/call/<room>`; `null` when there is none, or it is no text. */
export function roomOfPath(path: string): string | null {
  const [, kind, name, ...rest] = path.split("/");
  if ((kind !== "r" && kind !== "call") || name === undefined || name === "" || rest.some((part) => part !== ""))
    return null;
  try {
    return decodeURIComponent(name);
  } catch {
    return null;
  }
}
