// How a person without a picture is drawn.

/** At most two letters of a name, whole characters as a reader sees them. */
export function initials(name: string): string {
  const wordsOfName = name
    .trim()
    .split(/[\s\-_.]+/u)
    .filter((word) => word !== "");
  const first = wordsOfName[0];
  if (first === undefined) return "·";
  const last = wordsOfName.length > 1 ? wordsOfName.at(-1) : undefined;
  return (firstCharacter(first) + (last === undefined ? "" : firstCharacter(last))).toLocaleUpperCase();
}

/** A hue of its own for every identity, in degrees. */
export function hueOf(seed: string): number {
  let hash = 7;
  for (const character of seed) hash = (hash * 31 + (character.codePointAt(0) ?? 0)) % 3600;
  return (hash * 137) % 360;
}

function firstCharacter(word: string): string {
  const [first] = new Intl.Segmenter(undefined, { granularity: "grapheme" }).segment(word);
  return first?.segment ?? "";
}
