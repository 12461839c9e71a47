// One of three has a bad line: its pictures become small and go on, and the others notice nothing.
import { expect, test } from "../src/fixtures.ts";
import { browserAtNearEnd, FAR, squeeze } from "../src/link.ts";
import { pictures, sees } from "../src/pictures.ts";

test.use({ settings: { TANDEM_MEDIA_ADDRESSES: FAR } });

test("a link squeezed to 300 kbit/s, 5 % loss and 200 ms gets small pictures, and large ones again when it recovers", async ({
  person,
  room,
}) => {
  test.slow();
  await squeeze("clear");
  const near = await browserAtNearEnd();
  const ann = await person("Ann", { camera: LARGE });
  const ben = await person("Ben", { camera: LARGE });
  const cora = await person("Cora", { browser: near });
  for (const each of [ann, ben, cora]) await each.enters(room);
  for (const each of [ann, ben, cora]) await sees(each.page, 2);
  await sees(cora.page, 2, (heights) => heights.every((height) => height > SMALL));

  await squeeze("rate=300k", "loss=5", "delay=100ms");
  await sees(cora.page, 2, (heights) => heights.every((height) => height <= SMALL));
  // It is that picture which has become small, and not what everybody gets.
  const others = (await pictures(ann.page)).filter(({ decoded }) => decoded > 0);
  expect(Math.max(...others.map(({ height }) => height))).toBeGreaterThan(SMALL);
  await sees(ann.page, 2);
  await sees(ben.page, 2);
  await expect(cora.page.getByTestId("reconnecting")).toHaveCount(0);

  await squeeze("clear");
  await sees(cora.page, 2, (heights) => heights.every((height) => height > SMALL));
  await near.close();
});

test("a link that is cut and comes back brings the pictures back, without entering anew", async ({ person, room }) => {
  test.slow();
  await squeeze("clear");
  const near = await browserAtNearEnd();
  const ann = await person("Ann");
  const ben = await person("Ben");
  const cora = await person("Cora", { browser: near, mayLog: /./ });
  for (const each of [ann, ben, cora]) await each.enters(room);
  for (const each of [ann, ben, cora]) await sees(each.page, 2);

  await squeeze("loss=100");
  await expect(cora.page.getByTestId("reconnecting")).toBeVisible({ timeout: 90_000 });
  await squeeze("clear");
  await expect(cora.page.getByTestId("reconnecting")).toHaveCount(0, { timeout: 90_000 });
  await sees(cora.page, 2);
  await sees(ann.page, 2);
  await expect(ann.tile("Cora")).toHaveCount(1);
  await near.close();
});

const LARGE = { width: 1280, height: 720 };
/** Of a camera of 720 lines the smallest size has 180. */
const SMALL = 200;
