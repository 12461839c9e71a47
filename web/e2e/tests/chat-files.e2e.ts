// Writing, and sending files.
import { createHash } from "node:crypto";
import { readFile, writeFile, truncate } from "node:fs/promises";
import { expect, test } from "../src/fixtures.ts";
import { talk, words } from "../src/person.ts";

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** Bytes that no compression makes smaller, the same at each run. */
function noise(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  let state = 0x2545f491;
  for (let at = 0; at < length; at += 4) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes.writeInt32LE(state | 0, at);
  }
  return bytes;
}

test("lines written by either arrive at the other, in order and once", async ({ person, room }) => {
  const ann = await person("Ann");
  const ben = await person("Ben");
  await ann.enters(room);
  await ben.enters(room);
  await ann.opensChat();
  await ben.opensChat();
  await ann.writes("Hello Ben, <b>can</b> you read me? ✓");
  await expect(ben.lines).toHaveText([/Hello Ben, <b>can<\/b> you read me\? ✓/]);
  await ben.writes("Yes: grüß dich 👋");
  await ann.writes("Third");
  for (const { lines } of [ann, ben]) await expect(lines).toHaveText([/can/, /grüß dich 👋/, /Third/]);
});

test("a file of 20 MB arrives whole", async ({ person, room }, info) => {
  const ann = await person("Ann");
  const ben = await person("Ben");
  await ann.enters(room);
  await ben.enters(room);
  await talk(ann, ben);
  const file = noise(20_000_000);
  const path = info.outputPath("holiday.bin");
  await writeFile(path, file);
  await ann.sendsFile(path);
  await ben.opensChat();
  const offer = ben.file("holiday.bin");
  await expect(offer).toContainText(words.files.offers("Ann"));
  await offer.getByRole("button", { name: words.files.accept }).click();
  await expect(offer).toContainText(words.files.states.finishedIn, { timeout: 90_000 });
  await expect(ann.file("holiday.bin")).toContainText(words.files.states.finishedOut);
  const download = ben.page.waitForEvent("download");
  await offer.getByRole("button", { name: words.files.saveName("holiday.bin") }).click();
  const saved = await download;
  expect(saved.suggestedFilename()).toBe("holiday.bin");
  expect(sha256(await readFile(await saved.path()))).toBe(sha256(file));
});

test("a file can be declined, and nothing of it is sent", async ({ person, room }) => {
  const ann = await person("Ann");
  const ben = await person("Ben");
  await ann.enters(room);
  await ben.enters(room);
  await talk(ann, ben);
  await ann.sendsFile({ name: "unwanted.txt", mimeType: "text/plain", buffer: Buffer.from("nobody reads this") });
  await ben.opensChat();
  await ben.file("unwanted.txt").getByRole("button", { name: words.files.decline }).click();
  await expect(ann.file("unwanted.txt")).toContainText(words.files.states.declined);
  await expect(ben.file("unwanted.txt")).toContainText(words.files.states.declined);
});

for (const who of ["the sender", "the receiver"] as const) {
  test(`${who} can cancel a file on the way`, async ({ person, room }, info) => {
    // So large that it is on the way for as long as the test needs; it has holes instead of content.
    const long = info.outputPath("long.bin");
    await writeFile(long, "");
    await truncate(long, 2_000_000_000);
    const ann = await person("Ann");
    const ben = await person("Ben");
    await ann.enters(room);
    await ben.enters(room);
    await talk(ann, ben);
    await ann.sendsFile(long);
    await ben.opensChat();
    await ben.file("long.bin").getByRole("button", { name: words.files.accept }).click();
    const one = who === "the sender" ? ann : ben;
    await expect(one.file("long.bin")).toHaveAttribute("data-state", "running");
    await one.file("long.bin").getByRole("button", { name: words.files.cancel }).click();
    await expect(ann.file("long.bin")).toContainText(words.files.states.cancelled);
    await expect(ben.file("long.bin")).toContainText(words.files.states.cancelled);
    await talk(ann, ben);
  });
}
