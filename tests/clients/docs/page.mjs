// What must hold of /docs in a browser: it shows every tag, operation and webhook of the document, loads nothing from elsewhere, nothing
// goes wrong in it, and a request that is tried out in it, with a key that was typed into it, is answered 200.
//
// Run by live.py, with the browser's path in CHROMIUM.

import { chromium } from "playwright-core";

// Longest that anything in the page may take; it takes a moment.
const DEADLINE_MS = 30_000;

const { API_URL: api, KEY: key, CHROMIUM: executablePath } = process.env;
const started = performance.now();

function check(holds, what) {
  if (!holds) throw new Error(what);
}

/** A page that notes what it asks for and what goes wrong in it. */
async function open(browser) {
  const page = await browser.newPage();
  page.setDefaultTimeout(DEADLINE_MS);
  const [asked, wrong] = [[], []];
  page.on("request", (request) => asked.push(request.url()));
  page.on("requestfailed", (request) => wrong.push(`${request.url()}: ${request.failure()?.errorText}`));
  page.on("response", (response) => response.ok() || wrong.push(`${response.status()} ${response.url()}`));
  page.on("pageerror", (error) => wrong.push(String(error)));
  page.on("console", (message) => message.type() === "error" && wrong.push(message.text()));
  await page.goto(`${api}/docs/`, { waitUntil: "networkidle" });
  return { page, asked, wrong };
}

async function complete(page) {
  const document = await (await fetch(`${api}/openapi.json`)).json();
  const all = (paths) => Object.values(paths).flatMap((path) => Object.values(path));
  const [operations, webhooks] = [all(document.paths), all(document.webhooks)];
  // Webhooks are shown under a heading of their own, whatever their tags.
  const tags = new Set(operations.flatMap((operation) => operation.tags));
  for (const tag of tags) await page.locator(`.opblock-tag[data-tag="${tag}"]`).waitFor();
  for (const { tags, operationId } of operations) await page.locator(`#operations-${tags[0]}-${operationId}`).waitFor();
  for (const { operationId } of webhooks) await page.locator(`#operations-webhooks-${operationId}`).waitFor();
  return `${tags.size} tags, ${operations.length} operations, ${webhooks.length} webhooks`;
}

async function authorize(page) {
  await page.locator(".btn.authorize").first().click();
  await page.locator(".modal-ux input").fill(key);
  await page.locator(".modal-ux .btn.authorize").click();
  await page.locator(".modal-ux .btn-done").click();
}

async function tryOut(page, operation) {
  const block = page.locator(`#operations-${operation}`);
  await block.locator(".opblock-summary-control").click();
  await block.locator(".try-out__btn").click();
  await block.locator(".execute").click();
  const status = block.locator(".live-responses-table .response-col_status").last();
  await status.waitFor();
  check((await status.innerText()).startsWith("200"), `${operation}: ${await block.locator(".live-responses-table").innerText()}`);
}

const browser = await chromium.launch({
  executablePath,
  // The sandbox is not to be had for root; what is opened is our own.
  args: process.getuid() === 0 ? ["--no-sandbox"] : [],
});
try {
  const { page, asked, wrong } = await open(browser);
  const shown = await complete(page);
  await authorize(page);
  await tryOut(page, "tenant-get_tenant");
  const elsewhere = asked.filter((url) => !url.startsWith(`${api}/`) && !url.startsWith("data:"));
  check(elsewhere.length === 0, `asked elsewhere: ${elsewhere}`);
  check(wrong.length === 0, `wrong in the page: ${wrong.join("\n")}`);
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(`/docs: ${shown}, nothing from elsewhere, and a request answered 200 (${seconds} s)`);
} finally {
  await browser.close();
}
