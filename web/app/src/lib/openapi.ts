// Reads an OpenAPI 3 document into what the reference page shows. Whatever it does not know it leaves out; a document that
// is none gives `null`.

export interface ApiDocument {
  readonly title: string;
  readonly version: string;
  readonly description: string;
  readonly groups: readonly { readonly name: string; readonly operations: readonly Operation[] }[];
}

export interface Operation {
  readonly id: string;
  readonly method: string;
  readonly path: string;
  readonly summary: string;
  readonly description: string;
  readonly parameters: readonly Parameter[];
  readonly body: Content | null;
  readonly responses: readonly {
    readonly status: string;
    readonly description: string;
    readonly content: Content | null;
  }[];
  readonly needsKey: boolean;
}

export interface Parameter {
  readonly name: string;
  readonly where: string;
  readonly required: boolean;
  readonly type: string;
  readonly description: string;
}

/** A body: its media type and an example made from its schema. */
export interface Content {
  readonly type: string;
  readonly example: string;
}

type Json = Readonly<Record<string, unknown>>;

const METHODS = ["get", "post", "put", "patch", "delete"];
const DEEPEST = 6;

export function parseOpenApi(value: unknown): ApiDocument | null {
  const document = object(value);
  const paths = object(document?.["paths"]);
  if (document === null || paths === null) return null;
  const base = text(object(list(document["servers"])[0])?.["url"]).replace(/\/$/, "");
  const groups = new Map<string, Operation[]>();
  for (const [path, item] of Object.entries(paths)) {
    for (const method of METHODS) {
      const found = object(object(item)?.[method]);
      if (found === null) continue;
      const whole = path.startsWith(base) ? path : base + path;
      const tag = text(list(found["tags"])[0]);
      groups.set(tag, [...(groups.get(tag) ?? []), operation(document, method, whole, found)]);
    }
  }
  const info = object(document["info"]);
  return {
    title: text(info?.["title"]),
    version: text(info?.["version"]),
    description: text(info?.["description"]),
    groups: [...groups].map(([name, operations]) => ({ name, operations })),
  };
}

/** The request on a command line. */
export function curl(operation: Operation, origin: string): string {
  const query = operation.parameters.filter(({ where, required }) => where === "query" && required);
  const asked = query.map(({ name }) => `${name}=…`).join("&");
  const parts = [
    `curl ${operation.method === "GET" ? "" : `-X ${operation.method} `}'${origin}${operation.path}${asked === "" ? "" : `?${asked}`}'`,
  ];
  if (operation.needsKey) parts.push(`-H "Authorization: Bearer $TANDEM_KEY"`);
  if (operation.body !== null)
    parts.push(`-H 'Content-Type: ${operation.body.type}'`, `-d '${operation.body.example}'`);
  return parts.join(" \\\n  ");
}

function operation(document: Json, method: string, path: string, found: Json): Operation {
  return {
    id: text(found["operationId"]) || `${method}-${path.replace(/[^a-z0-9]+/gi, "-")}`,
    method: method.toUpperCase(),
    path,
    summary: text(found["summary"]),
    description: text(found["description"]),
    parameters: list(found["parameters"]).flatMap((item) => parameter(document, item)),
    body: content(document, object(resolve(document, found["requestBody"]))?.["content"]),
    responses: Object.entries(object(found["responses"]) ?? {}).map(([status, answer]) => {
      const response = object(resolve(document, answer));
      return {
        status,
        description: text(response?.["description"]),
        content: content(document, response?.["content"]),
      };
    }),
    needsKey: list(found["security"] ?? document["security"]).length > 0,
  };
}

function parameter(document: Json, item: unknown): Parameter[] {
  const found = object(resolve(document, item));
  if (found === null) return [];
  return [
    {
      name: text(found["name"]),
      where: text(found["in"]),
      required: found["required"] === true,
      type: typeName(document, found["schema"]),
      description: text(found["description"]),
    },
  ];
}

function content(document: Json, value: unknown): Content | null {
  const [type, media] = Object.entries(object(value) ?? {})[0] ?? [];
  if (type === undefined) return null;
  const found = object(media);
  const example = found?.["example"] ?? exampleOf(document, found?.["schema"], 0);
  return { type, example: JSON.stringify(example, null, 2) ?? "" };
}

/** Something that fits the schema: its own example, its first choice, or a value of its type. */
function exampleOf(document: Json, value: unknown, depth: number): unknown {
  const schema = object(resolve(document, value));
  if (schema === null || depth > DEEPEST) return null;
  if (schema["example"] !== undefined) return schema["example"];
  const examples = list(schema["examples"]);
  if (examples.length > 0) return examples[0];
  if (schema["const"] !== undefined) return schema["const"];
  const choices = list(schema["enum"]);
  if (choices.length > 0) return choices[0];
  const parts = list(schema["allOf"]);
  if (parts.length > 0) return Object.assign({}, ...parts.map((part) => exampleOf(document, part, depth + 1) ?? {}));
  const variants = [...list(schema["oneOf"]), ...list(schema["anyOf"])].filter(
    (one) => object(one)?.["type"] !== "null",
  );
  if (variants.length > 0) return exampleOf(document, variants[0], depth + 1);
  return plainExample(document, schema, depth);
}

function plainExample(document: Json, schema: Json, depth: number): unknown {
  switch (plainType(schema)) {
    case "object":
      return Object.fromEntries(
        Object.entries(object(schema["properties"]) ?? {}).map(([name, property]) => [
          name,
          exampleOf(document, property, depth + 1),
        ]),
      );
    case "array":
      return [exampleOf(document, schema["items"], depth + 1)];
    case "integer":
    case "number":
      return typeof schema["minimum"] === "number" ? schema["minimum"] : 0;
    case "boolean":
      return false;
    case "string":
      return "…";
    default:
      return null;
  }
}

function typeName(document: Json, value: unknown): string {
  const schema = object(resolve(document, value));
  if (schema === null) return "";
  const choices = list(schema["enum"]).filter((choice) => typeof choice === "string");
  if (choices.length > 0) return choices.join(" | ");
  const variant = [...list(schema["oneOf"]), ...list(schema["anyOf"])].find((one) => object(one)?.["type"] !== "null");
  if (variant !== undefined) return typeName(document, variant);
  return plainType(schema) === "array" ? `${typeName(document, schema["items"])}[]` : plainType(schema);
}

/** OpenAPI 3.1 writes "text or nothing" as `["string", "null"]`. */
function plainType(schema: Json): string {
  const type = schema["type"];
  if (typeof type === "string") return type;
  const named = list(type).find((one) => one !== "null");
  if (named !== undefined) return text(named);
  return schema["properties"] === undefined ? "" : "object";
}

/** Follows `#/a/b` references, a few deep. */
function resolve(document: Json, value: unknown): unknown {
  let current = value;
  for (let step = 0; step < DEEPEST; step += 1) {
    const reference = object(current)?.["$ref"];
    if (typeof reference !== "string" || !reference.startsWith("#/")) return current;
    current = reference
      .slice(2)
      .split("/")
      .reduce<unknown>((at, part) => object(at)?.[part.replaceAll("~1", "/").replaceAll("~0", "~")], document);
  }
  return null;
}

function object(value: unknown): Json | null {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : null;
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
