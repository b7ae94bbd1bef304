// What both walks are made of: the surroundings that live.py gives, a check, waiting, and writing to the source tables.

import createClient from "openapi-fetch";
import { deepStrictEqual } from "node:assert";
import { setTimeout } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import type { components, paths } from "./tidemark.js";

export type Schemas = components["schemas"];
export { deepStrictEqual as equal };

// Longest that a change of a table may take to be seen; it takes half a second.
const DEADLINE_MS = 60_000;

export function surroundings(name: "API_URL" | "DYNAMODB_URL" | "KEY" | "OPERATOR"): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set: see live.py`);
  return value;
}

// Answers are JSON unless a request asks for CSV.
export const client = (key: string) =>
  createClient<paths, "application/json" | "application/problem+json">({
    baseUrl: surroundings("API_URL"),
    headers: { authorization: `Bearer ${key}` },
  });

/** The answer, if it is no refusal. */
export function wanted<Answer>({ data, error, response }: { data?: Answer; error?: unknown; response: Response }): Answer {
  if (data === undefined) throw new Error(`${response.status} ${response.url}: ${JSON.stringify(error)}`);
  return data;
}

/** The refusal, if it is this one. */
export function refused(status: number, code: string, { error }: { error?: Schemas["Problem"] }): Schemas["Problem"] {
  if (error === undefined) throw new Error(`${status} ${code} expected`);
  deepStrictEqual([error.status, error.code], [status, code], JSON.stringify(error));
  return error;
}

/** Reads until that gives what is expected. */
export async function waitUntil<Value>(expected: Value, read: () => Promise<Value>): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS;
  for (let found = await read(); !isDeepStrictEqual(found, expected); found = await read()) {
    if (performance.now() > deadline) deepStrictEqual(found, expected);
    await setTimeout(100);
  }
}

/** Writes an item as any program does; of the AWS SDK only the signature is missing, which the embedded DynamoDB does not verify. */
export async function put(table: string, item: Record<string, { S: string } | { N: string }>): Promise<void> {
  const headers = {
    "x-amz-target": "DynamoDB_20120810.PutItem",
    "x-amz-date": "any",
    authorization: "AWS4-HMAC-SHA256 Credential=any, SignedHeaders=any, Signature=any",
    "content-type": "application/json",
  };
  const body = JSON.stringify({ TableName: table, Item: item });
  const response = await fetch(surroundings("DYNAMODB_URL"), { method: "POST", headers, body });
  if (!response.ok) throw new Error(`PutItem: ${response.status} ${await response.text()}`);
}
