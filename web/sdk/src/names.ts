// Names for rooms: pronounceable, and too many to guess.

/**
 * Four words of six letters, like `bakofi-tumesa-ridolu-nepaga`. Each syllable is one of 16 consonants and one of 4
 * vowels: 6 bits; twelve of them make 72 bits.
 */
export function roomName(random: (bytes: number) => Uint8Array = systemRandom): string {
  const words: string[] = [];
  const bytes = random(WORDS * SYLLABLES);
  for (let start = 0; start < bytes.length; start += SYLLABLES) {
    words.push(Array.from(bytes.subarray(start, start + SYLLABLES), syllable).join(""));
  }
  return words.join("-");
}

function syllable(byte: number): string {
  return `${CONSONANTS.charAt(byte & 0x0f)}${VOWELS.charAt((byte >> 4) & 0x03)}`;
}

function systemRandom(bytes: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(bytes));
}

const WORDS = 4;
const SYLLABLES = 3;
const CONSONANTS = "bdfghjklmnprstvz";
const VOWELS = "aiou";
