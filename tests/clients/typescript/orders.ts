// README's walk-through: units of each item, live and exact while orders are edited and moved.

import { client, equal, put, surroundings, waitUntil, wanted } from "./check.js";

const today = new Date().toISOString().slice(0, 10);
const demo = client(surroundings("KEY"));

const order = (number: string, item: string, quantity: string) =>
  put("Order_by_item", { orderid: { S: number }, order_date: { S: today }, item_number: { S: item }, quantity: { N: quantity } });

async function values() {
  // Without `from` it is what is today when it is asked; that may be past midnight.
  const query = { group_by: "item", from: today };
  return wanted(await demo.GET("/v1/metrics/{metric}/values", { params: { path: { metric: "sales" }, query } }));
}

const units = async () => Object.fromEntries((await values()).data.map((row) => [row.dimensions?.["item"], row.values["units"]]));

await order("178526", "item123", "10");
await order("178527", "item123", "30");
await order("172528", "item312", "10");
await order("178529", "item312", "30");
await waitUntil({ item123: "40", item312: "40" }, units);
await order("178526", "item123", "12");
await waitUntil({ item123: "42", item312: "40" }, units);
await order("178526", "item312", "12");
await waitUntil({ item123: "30", item312: "52" }, units);

// The total is the sum of the rows.
equal((await values()).totals.map((total) => total.values["units"]), ["82"]);
console.log("typescript: 40 and 40; edited: 42 and 40; moved: 30 and 52");
