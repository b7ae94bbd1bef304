"""A receiver of webhooks that verifies with PyPI's `standardwebhooks`, and says as JSON lines what it finds.

Its first line has its port. Each line of its input is an object of secrets by name, which replace those before. Each webhook becomes a
line: its `id`, `type` and number of `signatures`, the names of the secrets it was `verified` by, and of those that verified it even
`tampered` with.
"""

import http.server
import json
import sys
import threading

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

secrets = {}


def verifies(secret, body, headers):
    try:
        Webhook(secret).verify(body, headers)
        return True
    except WebhookVerificationError:
        return False


def tampered(body, headers):
    """The same webhook with one thing changed, each in turn."""
    yield body[:-1] + b" }", headers
    yield body, {**headers, "webhook-id": headers["webhook-id"] + "A"}
    yield body, {**headers, "webhook-timestamp": str(int(headers["webhook-timestamp"]) - 1)}


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        known = dict(secrets)
        changed = list(tampered(body, headers))
        found = {
            "id": headers["webhook-id"],
            "type": json.loads(body)["type"],
            "signatures": len(headers["webhook-signature"].split()),
            "verified": [name for name in known if verifies(known[name], body, headers)],
            "tampered": [name for name in known if any(verifies(known[name], *other) for other in changed)],
        }
        self.send_response(204)
        self.end_headers()
        print(json.dumps(found), flush=True)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(json.dumps({"port": server.server_port}), flush=True)
for line in sys.stdin:
    secrets = json.loads(line)
    print(json.dumps({"known": list(secrets)}), flush=True)
