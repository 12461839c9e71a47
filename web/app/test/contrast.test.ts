// Every pair of text and ground that the pages use, in both themes, against WCAG 2.2: 4.5:1 for text, 3:1 for signs.
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";

type Theme = "light" | "dark";
type Oklch = readonly [lightness: number, chroma: number, hue: number];

const css = readFileSync(new URL("../src/styles/tokens.css", import.meta.url), "utf8");
const plain = css.slice(0, css.indexOf("@media"));
const tokens = new Map(
  [...plain.matchAll(/(--[\w-]+):\s*([^;]+);/g)].map(([, name, value]) => [name ?? "", value ?? ""]),
);

const TEXT: readonly (readonly [text: string, ground: string])[] = [
  ...["--text", "--text-soft", "--text-quiet"].flatMap((text) =>
    ["--ground", "--surface", "--surface-sunken", "--stage"].map((ground) => [text, ground] as const),
  ),
  ["--text", "--surface-hover"],
  ["--text-soft", "--surface-hover"],
  ["--accent-text", "--ground"],
  ["--accent-text", "--surface"],
  ["--accent-text", "--surface-sunken"],
  ["--danger-text", "--ground"],
  ["--danger-text", "--surface"],
  ["--on-accent", "--accent"],
  ["--on-accent", "--accent-hover"],
  ["--on-accent-soft", "--accent-soft"],
  ["--on-danger", "--danger"],
  ["--on-danger", "--danger-hover"],
  ["--on-danger-soft", "--danger-soft"],
  ["--on-sharing", "--sharing"],
  ["--on-sharing-soft", "--sharing-soft"],
  ["--text", "--sharing-soft"],
  ["--on-video", "--video-scrim-solid"],
  ["--ground", "--text"],
  ["--good", "--surface"],
];

const SIGNS: readonly (readonly [sign: string, ground: string])[] = [
  ["--focus", "--ground"],
  ["--focus", "--surface"],
  ["--good", "--surface-hover"],
  ["--fair", "--surface"],
  ["--poor", "--surface"],
  ["--danger", "--ground"],
  ["--accent", "--ground"],
];

describe.each(["light", "dark"] as const)("in the %s theme", (theme) => {
  test.each(TEXT)("%s can be read on %s", (text, ground) => {
    expect(contrast(colour(text, theme), colour(ground, theme))).toBeGreaterThanOrEqual(4.5);
  });

  test.each(SIGNS)("%s can be told from %s", (sign, ground) => {
    expect(contrast(colour(sign, theme), colour(ground, theme))).toBeGreaterThanOrEqual(3);
  });
});

test("white on black is 21 to 1, and a colour on itself 1 to 1", () => {
  expect(contrast([1, 0, 0], [0, 0, 0])).toBeCloseTo(21, 1);
  expect(contrast([0.5, 0.1, 200], [0.5, 0.1, 200])).toBe(1);
});

/** Follows `var()` and `light-dark()` down to an `oklch()`. */
function colour(name: string, theme: Theme): Oklch {
  const value = tokens.get(name);
  if (value === undefined) throw new Error(`no token ${name}`);
  const branches = /^light-dark\(var\((--[\w-]+)\),\s*var\((--[\w-]+)\)\)$/.exec(value);
  if (branches !== null) return colour(branches[theme === "light" ? 1 : 2] ?? "", theme);
  const alias = /^var\((--[\w-]+)\)$/.exec(value);
  if (alias !== null) return colour(alias[1] ?? "", theme);
  const numbers = /^oklch\(([\d.]+) ([\d.]+) ([\d.]+)\)$/.exec(value);
  if (numbers === null) throw new Error(`expected oklch(), var() or light-dark(), got ${value} for ${name}`);
  return [Number(numbers[1]), Number(numbers[2]), Number(numbers[3])];
}

/** WCAG 2.2, "contrast ratio". */
function contrast(a: Oklch, b: Oklch): number {
  const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return ((light ?? 0) + 0.05) / ((dark ?? 0) + 0.05);
}

/** Relative luminance by way of Oklab and linear sRGB (CSS Color 4 §18), clipped to the screen's gamut. */
function luminance([lightness, chroma, hue]: Oklch): number {
  const a = chroma * Math.cos((hue * Math.PI) / 180);
  const b = chroma * Math.sin((hue * Math.PI) / 180);
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  const clip = (value: number): number => Math.min(1, Math.max(0, value));
  const red = clip(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s);
  const green = clip(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s);
  const blue = clip(-0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
