import { expect, test } from "vitest";
import { Refused, RelayApi } from "../src/lib/relay/api.ts";

interface Asked {
  readonly url: string;
  readonly request: RequestInit;
}

function api(answer: () => Response | Error): { relay: RelayApi; asked: Asked[] } {
  const asked: Asked[] = [];
  const ask = (url: string | URL | Request, request: RequestInit = {}): Promise<Response> => {
    asked.push({ url: String(url), request });
    const answered = answer();
    return answered instanceof Error ? Promise.reject(answered) : Promise.resolve(answered);
  };
  return { relay: new RelayApi("tk_a_b", ask), asked };
}

test("the key goes along, and what is left out is not asked for", async () => {
  const { relay, asked } = api(() => Response.json({ sessions: [] }));
  await relay.sessions({ key: "a b", tag: "x/y" });
  await relay.sessions({});
  expect(asked.map(({ url }) => url)).toEqual([
    "/api/v1/turn/sessions?key=a+b&tag=x%2Fy&limit=100",
    "/api/v1/turn/sessions?limit=100",
  ]);
  expect(asked[0]?.request.headers).toMatchObject({ authorization: "Bearer tk_a_b" });
});

test("a key is taken back whole, or one label of it", async () => {
  const { relay, asked } = api(() => Response.json({ ended: 3 }));
  expect(await relay.takeBack("a")).toEqual({ ended: 3 });
  await relay.takeBack("a", "");
  expect(asked.map(({ request }) => request.body)).toEqual(['{"key":"a"}', '{"key":"a","tag":""}']);
});

test("a refusal has the server's words, and no answer is one, too", async () => {
  const problem = { type: "over_quota", title: "The quota is used up", status: 429, detail: "5 of 5" };
  await expect(api(() => Response.json(problem, { status: 429 })).relay.keys()).rejects.toMatchObject({
    status: 429,
    kind: "over_quota",
    message: "5 of 5",
  });
  await expect(api(() => new Response("<html>", { status: 502 })).relay.keys()).rejects.toBeInstanceOf(Refused);
  await expect(api(() => new TypeError("offline")).relay.keys()).rejects.toMatchObject({ status: 0 });
});
