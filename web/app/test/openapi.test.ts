import { expect, test } from "vitest";
import { curl, parseOpenApi } from "../src/lib/openapi.ts";

const DOCUMENT = {
  openapi: "3.1.0",
  info: { title: "Tandem", version: "1" },
  servers: [{ url: "/api/v1" }],
  paths: {
    "/rooms": {
      post: {
        tags: ["rooms"],
        operationId: "create",
        summary: "Makes a room",
        security: [{ key: [] }],
        requestBody: { content: { "application/json": { schema: { $ref: "#/components/schemas/NewRoom" } } } },
        responses: {
          "201": {
            description: "Made",
            content: { "application/json": { schema: { $ref: "#/components/schemas/NewRoom" } } },
          },
        },
      },
    },
    "/sessions": {
      get: {
        tags: ["sessions"],
        parameters: [{ name: "limit", in: "query", schema: { type: ["integer", "null"] }, description: "How many" }],
        responses: { "200": { description: "A page" } },
      },
    },
  },
  components: {
    schemas: {
      NewRoom: {
        type: "object",
        properties: {
          name: { type: "string", example: "garden-club" },
          entry: { oneOf: [{ type: "null" }, { type: "string", enum: ["open", "ring"] }] },
          inside: { $ref: "#/components/schemas/NewRoom" },
        },
      },
    },
  },
};

test("operations stand under their tags with whole paths", () => {
  const read = parseOpenApi(DOCUMENT);
  expect(read?.groups.map(({ name }) => name)).toEqual(["rooms", "sessions"]);
  expect(read?.groups[0]?.operations[0]).toMatchObject({ method: "POST", path: "/api/v1/rooms", needsKey: true });
  expect(read?.groups[1]?.operations[0]?.parameters[0]).toMatchObject({
    name: "limit",
    type: "integer",
    required: false,
  });
});

test("an example is made from the schema, and a schema that holds itself comes to an end", () => {
  const body: unknown = JSON.parse(parseOpenApi(DOCUMENT)?.groups[0]?.operations[0]?.body?.example ?? "");
  expect(body).toMatchObject({ name: "garden-club", entry: "open", inside: { name: "garden-club" } });
});

test("the command line carries method, key and body", () => {
  const operation = parseOpenApi(DOCUMENT)?.groups[0]?.operations[0];
  const line = operation === undefined ? "" : curl(operation, "https://tandem.example");
  expect(line).toContain("-X POST 'https://tandem.example/api/v1/rooms'");
  expect(line).toContain("Authorization: Bearer $TANDEM_KEY");
  expect(line).toContain("garden-club");
});

test("what is no OpenAPI document gives none", () => {
  for (const junk of [null, [], "x", {}, { paths: [] }]) expect(parseOpenApi(junk)).toBeNull();
  expect(
    parseOpenApi({ paths: { "/x": { get: { parameters: [{ $ref: "#/nowhere" }], responses: 7 } } } }),
  ).not.toBeNull();
});
