// `/call/<room>`: nothing about anybody's network is exchanged before the one called accepts.
import { expect, test } from "../src/fixtures.ts";
import { talk, words, type Person } from "../src/person.ts";
import { framesOf } from "../src/wire.ts";

const connections = ({ page }: Person): Promise<number> => page.evaluate(() => window.spy.connections.length);
const gathered = ({ page }: Person): Promise<number> => page.evaluate(() => window.spy.gathered.length);

test("before the one called accepts there is no connection and no candidate on either side; then they talk", async ({
  person,
  room,
}) => {
  const ann = await person("Ann");
  const ben = await person("Ben");
  const wires = [framesOf(ann.page), framesOf(ben.page)];
  await ann.enters(room, { door: "call" });
  await ben.opens(room, { door: "call" });
  await ben.joins();
  await expect(ben.page.getByText(words.ringing.text)).toBeVisible();
  const bell = ann.ring("Ben");
  await expect(bell).toBeVisible();
  for (const one of [ann, ben]) {
    expect(await connections(one)).toBe(0);
    expect(await gathered(one)).toBe(0);
  }
  for (const wire of wires) {
    expect(wire.text("received")).not.toBe("");
    expect([...wire.candidates("sent"), ...wire.candidates("received")]).toEqual([]);
  }
  await bell.getByRole("button", { name: words.people.accept }).click();
  await talk(ann, ben);
});

test("who is declined is told so, and nothing was ever gathered", async ({ person, room }) => {
  const ann = await person("Ann");
  const ben = await person("Ben");
  await ann.enters(room, { door: "call" });
  await ben.opens(room, { door: "call" });
  await ben.joins();
  await ann.ring("Ben").getByRole("button", { name: words.people.decline }).click();
  await ben.isTold("declined");
  await expect(ann.ring("Ben")).toHaveCount(0);
  for (const one of [ann, ben]) expect(await connections(one)).toBe(0);
});

test("who hangs up while it rings is gone at the other end too", async ({ person, room }) => {
  const ann = await person("Ann");
  const ben = await person("Ben");
  await ann.enters(room, { door: "call" });
  await ben.opens(room, { door: "call" });
  await ben.joins();
  await expect(ann.ring("Ben")).toBeVisible();
  await ben.page.getByRole("button", { name: words.ringing.cancel }).click();
  await expect(ann.ring("Ben")).toHaveCount(0);
});
