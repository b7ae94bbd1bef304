"""What must hold of the signatures of Tidemark's webhooks, judged by receivers that verify with the official libraries.

    python webhooks.py TIDEMARK RECEIVER...

Starts `tidemark dev` without sample data, and gives each receiver (a command: see receive.py) an endpoint. Webhooks come of tests by the
API and of stock that drops and recovers. Ends with 0 if all holds.
"""

import json
import queue
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

# Longest that anything here may take; it takes a moment.
DEADLINE_SECONDS = 30
# A dispatcher notices within a second that secrets were rotated. So many changes of stock take longer than that.
CHANGES_MAX = 200

# Straight to where it is sent, whatever proxy the environment names.
http = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def check(holds, what):
    if not holds:
        raise SystemExit(f"error: {what}")


class Lines:
    """A process that says what it does in lines of JSON."""

    def __init__(self, command, stderr=None):
        self.name = shlex.join(command)
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True)
        self.lines = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.lines.put(json.loads(line))

    def next(self):
        try:
            return self.lines.get(timeout=DEADLINE_SECONDS)
        except queue.Empty:
            raise SystemExit(f"error: nothing from `{self.name}` in {DEADLINE_SECONDS} s") from None

    def tell(self, message):
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()


class Dev:
    """A running `tidemark dev`, and what is asked of it as its tenant `demo`."""

    def __init__(self, tidemark, log):
        self.running = Lines([tidemark, "dev", "--json", "--no-sample-data", "--port", "0", "--dynamodb-port", "0"], log)
        self.urls = self.running.next()
        self.is_low = False

    def post(self, path, body):
        headers = {"authorization": f"Bearer {self.urls['keys']['demo']}", "content-type": "application/json"}
        request = urllib.request.Request(self.urls["api_url"] + path, json.dumps(body).encode(), headers)
        with http.open(request, timeout=DEADLINE_SECONDS) as answer:
            return json.load(answer)

    def change_stock(self):
        """Has the one item there is drop or recover, in turns. Gives the type of what is sent then."""
        self.is_low = not self.is_low
        row = {
            "item_number": {"S": "sku_tea"}, "location": {"S": "berlin-1"}, "reorder_point": {"N": "10"},
            "on_hand": {"N": "3" if self.is_low else "50"},
        }
        headers = {
            "x-amz-target": "DynamoDB_20120810.PutItem", "content-type": "application/x-amz-json-1.0", "x-amz-date": "any",
            # The embedded DynamoDB wants to see a signature, and verifies none.
            "authorization": "AWS4-HMAC-SHA256 Credential=any, SignedHeaders=any, Signature=any",
        }
        body = json.dumps({"TableName": "Stock", "Item": row}).encode()
        http.open(urllib.request.Request(self.urls["dynamodb_url"], body, headers), timeout=DEADLINE_SECONDS).close()
        return "inventory.alert.fired" if self.is_low else "inventory.alert.resolved"

    def stop(self):
        self.running.process.send_signal(signal.SIGINT)
        code = self.running.process.wait(DEADLINE_SECONDS)
        check(code == 0, f"tidemark dev ended with {code}")


class Receiver:
    """A receiver with its endpoint, which keeps all secrets that the endpoint ever had."""

    def __init__(self, dev, command):
        self.dev = dev
        self.running = Lines(shlex.split(command))
        made = dev.post("/v1/webhook-endpoints", {"url": f"http://127.0.0.1:{self.running.next()['port']}/"})
        self.path = f"/v1/webhook-endpoints/{made['id']}"
        self.secrets = {}
        self.learn("first", made["secret"])

    def learn(self, name, secret):
        self.secrets[name] = secret
        self.running.tell(self.secrets)
        check(self.running.next() == {"known": list(self.secrets)}, f"`{self.running.name}` has not learnt its secrets")

    def rotate(self, name, **how):
        self.learn(name, self.dev.post(f"{self.path}/rotate-secret", how)["secret"])

    def receive(self, event_type):
        """The next webhook: it is of this type, and whatever was changed of it would be refused."""
        webhook = self.running.next()
        check(webhook.get("type") == event_type, f"{event_type} expected: {webhook}")
        check(webhook["tampered"] == [], f"verified though tampered with: {webhook}")
        check(webhook["signatures"] == len(webhook["verified"]), f"each signature is of one secret: {webhook}")
        return webhook

    def test(self):
        """A ping by the API, with the names of the secrets it is signed with."""
        result = self.dev.post(f"{self.path}/test", {})
        webhook = self.receive("webhook.ping")
        check(result["outcome"] == "delivered" and result["webhook_id"] == webhook["id"], f"{result}: {webhook}")
        return webhook["verified"]


def change(dev, receivers):
    """A change of stock: one event under one id for all. Gives the names of the secrets it is signed with, for each receiver."""
    event_type = dev.change_stock()
    webhooks = [receiver.receive(event_type) for receiver in receivers]
    check(len({webhook["id"] for webhook in webhooks}) == 1, f"one event, one id: {webhooks}")
    return [webhook["verified"] for webhook in webhooks]


def signed_with(dev, receivers, names, passing):
    """Pings at once, and changes of stock soon, are signed with these secrets; until then with some of `passing`."""
    for _ in range(CHANGES_MAX):
        verified = change(dev, receivers)
        if all(by == names for by in verified):
            break
        check(all(by == names or by in passing for by in verified), f"{verified} among {passing}")
    else:
        raise SystemExit(f"error: still signed with {verified}, not {names}")
    check(change(dev, receivers) == [names] * len(receivers), f"{names} once, and then others")
    pings = [receiver.test() for receiver in receivers]
    check(pings == [names] * len(receivers), f"pings by {pings}, not {names}")
    print(f"signed with {' and '.join(names)}: verified by {len(receivers)} libraries")


def prove(dev, commands, receivers):
    receivers.extend(Receiver(dev, command) for command in commands)
    signed_with(dev, receivers, ["first"], passing=[])
    for receiver in receivers:
        receiver.rotate("second", grace="PT1H")
    signed_with(dev, receivers, ["first", "second"], passing=[["first"]])
    # What is older than the secret before ends at once, that one after its grace.
    for receiver in receivers:
        receiver.rotate("third", grace="PT2S", force=True)
    signed_with(dev, receivers, ["third"], passing=[["first", "second"], ["second", "third"]])


def main(tidemark, *commands):
    started = time.monotonic()
    with tempfile.TemporaryFile("w+") as log:
        dev, receivers = Dev(tidemark, log), []
        try:
            prove(dev, commands, receivers)
            dev.stop()
        except BaseException:
            log.seek(0)
            print(log.read()[-4000:], file=sys.stderr)
            raise
        finally:
            for lines in [dev.running, *(receiver.running for receiver in receivers)]:
                lines.process.kill()
    print(f"all signatures hold ({time.monotonic() - started:.1f} s)")


main(*sys.argv[1:])
