// Ways of a call of three through the server that are not the usual one: by TLS alone, and over the server's own end.
import { expect, test } from "../src/fixtures.ts";
import { flow } from "../src/measure.ts";
import { lostServer, type Person } from "../src/person.ts";
import { sees } from "../src/pictures.ts";

test("whose network lets nothing out but TLS on the port of the pages sees and is seen", async ({
  person,
  room,
  server,
}) => {
  test.slow();
  const [ann, ben] = [await person("Ann"), await person("Ben")];
  const cora = await person("Cora", { turnOver: "tls", onlyRelay: true });
  for (const someone of [ann, ben, cora]) await someone.enters(room);
  for (const { page } of [ann, ben, cora]) await sees(page, 2);
  const { pairs } = await flow(cora.page);
  const url = `turns:localhost:${server.ports.https}?transport=tcp`;
  expect(pairs).toEqual([expect.objectContaining({ local: "relay", relayProtocol: "tls", url })]);
});

test.describe("a server that is killed and started again", () => {
  test.use({ settings: {} });

  test("has all three back in their places, seeing each other", async ({ person, room, server }) => {
    test.slow();
    const people: Person[] = [];
    for (const name of ["Ann", "Ben", "Cora"]) {
      const someone = await person(name, { mayLog: lostServer });
      await someone.enters(room);
      people.push(someone);
    }
    for (const { page } of people) await sees(page, 2);
    const before = await people[0]?.roster();
    await server.down("SIGKILL");
    for (const { lost } of people) await expect(lost).toBeVisible();
    await server.up();
    for (const { lost } of people) await expect(lost).toBeHidden({ timeout: 60_000 });
    for (const { page } of people) await sees(page, 2);
    for (const someone of people) expect(await someone.roster()).toEqual(before);
  });
});
