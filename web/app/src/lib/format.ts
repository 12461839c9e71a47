// Dates, durations, sizes and rates as people of a language write them.
import type { Language } from "../i18n/index.svelte.ts";

/** The browser's own variant of the language: British and American English write the time differently. */
function localeOf(language: Language): string {
  const wanted = typeof navigator === "undefined" ? [] : navigator.languages;
  return wanted.find((tag) => tag === language || tag.startsWith(`${language}-`)) ?? language;
}

/** `4:07` or `1:04:07`: a running timer. */
export function clock(milliseconds: number): string {
  const whole = Math.max(0, Math.floor(milliseconds / 1000));
  const seconds = String(whole % 60).padStart(2, "0");
  const minutes = Math.floor(whole / 60) % 60;
  const hours = Math.floor(whole / 3600);
  return hours === 0 ? `${minutes}:${seconds}` : `${hours}:${String(minutes).padStart(2, "0")}:${seconds}`;
}

/** `1 hour, 4 minutes`: a duration to read, at most two units. */
export function duration(milliseconds: number, language: Language): string {
  const whole = Math.max(0, Math.round(milliseconds / 1000));
  const parts: [number, string][] = [
    [Math.floor(whole / 3600), "hour"],
    [Math.floor(whole / 60) % 60, "minute"],
    [whole % 60, "second"],
  ];
  const first = parts.findIndex(([amount]) => amount > 0);
  const shown = first < 0 ? parts.slice(2) : parts.slice(first, first + 2).filter(([amount]) => amount > 0);
  const written = shown.map(([amount, unit]) => unitFormat(language, unit).format(amount));
  return new Intl.ListFormat(localeOf(language), { type: "unit", style: "long" }).format(written);
}

/** `14:32`. */
export function timeOfDay(at: number, language: Language): string {
  return new Intl.DateTimeFormat(localeOf(language), { hour: "2-digit", minute: "2-digit" }).format(at);
}

/** `25 Nov`, and with the hour `25 Nov, 14:00`. */
export function dayAndTime(at: number, language: Language, withTime: boolean): string {
  const time = withTime ? ({ hour: "2-digit", minute: "2-digit" } as const) : {};
  return new Intl.DateTimeFormat(localeOf(language), { day: "numeric", month: "short", ...time }).format(at);
}

/** `yesterday`, `3 hours ago`. */
export function ago(at: number, now: number, language: Language): string {
  const format = new Intl.RelativeTimeFormat(localeOf(language), { numeric: "auto" });
  const minutes = Math.round((at - now) / 60_000);
  if (Math.abs(minutes) < 60) return format.format(minutes, "minute");
  const hours = Math.round(minutes / 60);
  if (Math.abs(hours) < 24) return format.format(hours, "hour");
  return format.format(Math.round(hours / 24), "day");
}

/** `20.4 MB`. */
export function bytes(amount: number, language: Language): string {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte"] as const;
  const step = amount < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(amount) / 3));
  return new Intl.NumberFormat(localeOf(language), {
    style: "unit",
    unit: units[step] ?? "byte",
    unitDisplay: step === 0 ? "long" : "short",
    maximumFractionDigits: step > 1 ? 1 : 0,
  }).format(amount / 1000 ** step);
}

/** `1.8 Mbit/s`. */
export function bitrate(bitsPerSecond: number, language: Language): string {
  const mega = bitsPerSecond >= 1e6;
  const number = new Intl.NumberFormat(localeOf(language), { maximumFractionDigits: mega ? 1 : 0 });
  return `${number.format(bitsPerSecond / (mega ? 1e6 : 1e3))} ${mega ? "Mbit/s" : "kbit/s"}`;
}

export function percent(share: number, language: Language): string {
  return new Intl.NumberFormat(localeOf(language), { style: "percent", maximumFractionDigits: 1 }).format(share);
}

export function wholeNumber(amount: number, language: Language): string {
  return new Intl.NumberFormat(localeOf(language), { maximumFractionDigits: 0 }).format(amount);
}

function unitFormat(language: Language, unit: string): Intl.NumberFormat {
  return new Intl.NumberFormat(localeOf(language), { style: "unit", unit, unitDisplay: "long" });
}
