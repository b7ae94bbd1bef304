// A receiver of webhooks that verifies with npm's `standardwebhooks`, and says as JSON lines what it finds: see receive.py, which does
// the same.

import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { Webhook, WebhookVerificationError } from "standardwebhooks";

let secrets = {};

function verifies(secret, body, headers) {
  try {
    new Webhook(secret).verify(body, headers);
    return true;
  } catch (error) {
    if (error instanceof WebhookVerificationError) return false;
    throw error;
  }
}

// The same webhook with one thing changed, each in turn.
function tampered(body, headers) {
  return [
    [body.slice(0, -1) + " }", headers],
    [body, { ...headers, "webhook-id": headers["webhook-id"] + "A" }],
    [body, { ...headers, "webhook-timestamp": String(headers["webhook-timestamp"] - 1) }],
  ];
}

const say = (found) => console.log(JSON.stringify(found));

const server = createServer(async (request, response) => {
  let body = "";
  for await (const part of request.setEncoding("utf8")) body += part;
  const headers = request.headers;
  const known = Object.entries(secrets);
  const changed = tampered(body, headers);
  const found = {
    id: headers["webhook-id"],
    type: JSON.parse(body).type,
    signatures: headers["webhook-signature"].split(" ").length,
    verified: known.filter(([, secret]) => verifies(secret, body, headers)).map(([name]) => name),
    tampered: known.filter(([, secret]) => changed.some((other) => verifies(secret, ...other))).map(([name]) => name),
  };
  response.writeHead(204).end();
  say(found);
});

server.listen(0, "127.0.0.1", () => say({ port: server.address().port }));
createInterface({ input: process.stdin }).on("line", (line) => {
  secrets = JSON.parse(line);
  say({ known: Object.keys(secrets) });
});
