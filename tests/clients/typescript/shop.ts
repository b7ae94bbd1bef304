// The rest of the API, by definitions/retail.yaml: numbers with filters, stock and alerts, webhooks, keys, pages, tenants, refusals.

import { randomUUID } from "node:crypto";
import { type Schemas, client, equal, put, refused, surroundings, waitUntil, wanted } from "./check.js";

const today = new Date().toISOString().slice(0, 10);
const demo = client(surroundings("KEY"));
const operator = client(surroundings("OPERATOR"));
const sales = { metric: "sales" };

function order(number: string, item: string, unitPrice: string, currency: string) {
  const row = { orderid: { S: number }, order_date: { S: today }, item_number: { S: item }, quantity: { N: "2" } };
  return put("Order_by_item", { ...row, unit_price: { N: unitPrice }, currency: { S: currency } });
}

const stock = (onHand: string) => put("Stock", { item_number: { S: "sku_tea" }, location: { S: "berlin-1" }, on_hand: { N: onHand } });

async function numbers() {
  await order("1", "sku_tea", "4.90", "EUR");
  await order("2", "sku_tea", "5.25", "USD");
  await order("3", "sku_mug", "12", "EUR");
  const query = { group_by: "item", filter: { item: "sku_tea" }, measures: "revenue", from: today };
  await waitUntil([["EUR", "9.8"], ["USD", "10.5"]], async () => {
    const answer = wanted(await demo.GET("/v1/metrics/{metric}/values", { params: { path: sales, query } }));
    return answer.totals.map((total) => [total.currency, total.values["revenue"]]);
  });
  const headers = { accept: "text/csv" };
  const csv = await demo.GET("/v1/metrics/{metric}/values", { params: { path: sales, query }, headers, parseAs: "text" });
  equal(wanted(csv).trim().split("\n").length, 3, "a header and two rows");
  const metrics = wanted(await demo.GET("/v1/metrics")).data;
  const ratios = metrics.flatMap((metric) => metric.measures).filter((shape) => shape.kind === "ratio");
  equal(ratios.map((shape) => [shape.measure, shape.numerator, shape.denominator]), [["average_order", "revenue", "orders"]]);
}

async function unchanged() {
  const first = await demo.GET("/v1/tenant");
  const etag = first.response.headers.get("etag") ?? "";
  const again = await demo.GET("/v1/tenant", { params: { header: { "If-None-Match": etag } } });
  equal(again.response.status, 304, wanted(first).time_zone);
}

async function lowRule() {
  const body: Schemas["NewAlertRule"] = {
    name: "Low",
    scope: { item: "sku_tea" },
    levels: [{ severity: "warning", fires_at_or_below: "10", clears_above: "12" }],
  };
  const header = { "Idempotency-Key": randomUUID() };
  const made = wanted(await demo.POST("/v1/alert-rules", { params: { header }, body }));
  equal(wanted(await demo.POST("/v1/alert-rules", { params: { header }, body })), made, "one key, one rule");
  return made;
}

async function firing() {
  return wanted(await demo.GET("/v1/alerts", { params: { query: { "filter[state]": "firing" } } })).data;
}

async function alerts() {
  const rule = await lowRule();
  await stock("8");
  await waitUntil([["sku_tea", "8"]], async () => (await firing()).map((alert) => [alert.item, alert.available]));
  const path = { id: (await firing())[0]?.id ?? "none" };
  wanted(await demo.POST("/v1/alerts/{id}/acknowledge", { params: { path }, body: { note: "ordered" } }));
  // A note is no must, and then nor is the body.
  wanted(await demo.POST("/v1/alerts/{id}/acknowledge", { params: { path } }));
  const detail = wanted(await demo.GET("/v1/alerts/{id}", { params: { path } }));
  equal(detail.actions.map((action) => action.action), ["acknowledged"]);

  const levels = wanted(await demo.GET("/v1/inventory", { params: { query: { "filter[status]": "low" } } })).data;
  equal(levels.map((level) => level.alert_id), [path.id]);
  const item = wanted(await demo.GET("/v1/inventory/{item}", { params: { path: { item: "sku_tea" } } }));
  equal(item.totals.available, "8", "over all locations");

  await stock("50");
  await waitUntil([], firing);
  const change = { params: { path: { id: rule.id }, header: { "If-Match": `"${rule.version}"` } }, body: { enabled: false } };
  wanted(await demo.PATCH("/v1/alert-rules/{id}", change));
  refused(412, "precondition_failed", await demo.PATCH("/v1/alert-rules/{id}", change));
  equal((await demo.DELETE("/v1/alert-rules/{id}", { params: { path: { id: rule.id } } })).response.status, 204);
}

async function webhooks() {
  // Nobody listens there.
  const made = wanted(await demo.POST("/v1/webhook-endpoints", { body: { url: "http://127.0.0.1:9/" } }));
  const path = { id: made.id };
  const tested = wanted(await demo.POST("/v1/webhook-endpoints/{id}/test", { params: { path } }));
  equal([tested.outcome, tested.status], ["connect", null]);
  const rotated = wanted(await demo.POST("/v1/webhook-endpoints/{id}/rotate-secret", { params: { path } }));
  equal(rotated.secret === made.secret, false, "another secret");
  equal((await demo.DELETE("/v1/webhook-endpoints/{id}", { params: { path } })).response.status, 204);
}

async function keys() {
  const made = wanted(await demo.POST("/v1/api-keys", { body: { name: "numbers", scopes: ["metrics:read"] } }));
  const numbers = client(made.key);
  equal(wanted(await numbers.GET("/v1/tenant")).id, "demo");
  refused(403, "missing_scope", await numbers.GET("/v1/alerts"));
  equal((await demo.DELETE("/v1/api-keys/{id}", { params: { path: { id: made.id } } })).response.status, 204);
  refused(401, "unauthenticated", await numbers.GET("/v1/tenant"));
}

async function pages() {
  for (const name of ["page 0", "page 1", "page 2"]) {
    wanted(await demo.POST("/v1/api-keys", { body: { name, scopes: ["metrics:read"] } }));
  }
  const ids = [];
  let cursor: string | null | undefined;
  do {
    const page = wanted(await demo.GET("/v1/api-keys", { params: { query: { limit: 1, ...(cursor && { cursor }) } } }));
    ids.push(...page.data.map((key) => key.id));
    cursor = page.page.next_cursor;
  } while (cursor !== null);
  equal(ids, wanted(await demo.GET("/v1/api-keys")).data.map((key) => key.id));
}

async function refusals() {
  const query = { limit: 0, time_zone: "Mars" };
  const problem = refused(400, "invalid_parameters", await demo.GET("/v1/metrics/{metric}/values", { params: { path: sales, query } }));
  equal(problem.errors?.map((error) => error.parameter), ["time_zone", "limit"], "all that is wrong at once");
  const grouped = { params: { path: sales, query: { group_by: "channel,item" } } };
  refused(422, "grouping_not_stored", await demo.GET("/v1/metrics/{metric}/values", grouped));
  refused(404, "not_found", await demo.GET("/v1/metrics/{metric}/values", { params: { path: { metric: "visits" } } }));
}

async function tenants() {
  const body = { id: "globex", time_zone: "Asia/Kathmandu" };
  wanted(await operator.POST("/v1/admin/tenants", { body }));
  refused(409, "tenant_exists", await operator.POST("/v1/admin/tenants", { body }));
  equal((await operator.DELETE("/v1/admin/tenants/{id}", { params: { path: { id: body.id } } })).response.status, 204);
}

const steps = [numbers, unchanged, alerts, webhooks, keys, pages, refusals, tenants];
for (const step of steps) await step();
console.log(`typescript: ${steps.map((step) => step.name).join(", ")}`);
