"""What pods meet of AWS: DynamoDB (an emulator behind a front, with TLS and without), STS, and the Pod Identity agent of a node.

DynamoDB Local keeps a database for each access key. Whoever asks for credentials gets its release's own key, so no release sees
another's tables, and a pod that has not asked for any sees none.
"""

import json
import http.client
import ssl
import subprocess
import urllib.parse
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from node import AGENT, Network, background

HTTP, HTTPS, OTLP = 8000, 8443, 4318
# Where EKS mounts what proves who a pod is, and what it tells the SDK.
IDENTITY_TOKEN = "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount/eks-pod-identity-token"
WEB_IDENTITY_TOKEN = "/var/run/secrets/eks.amazonaws.com/serviceaccount/token"
ASSUMED = """<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult>
<Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>secret</SecretAccessKey><SessionToken>session</SessionToken>
<Expiration>{until}</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"""


@dataclass
class Collector:
    """What was sent by OTLP: path, headers, body."""

    received: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)


def until() -> str:
    return (datetime.now(timezone.utc) + timedelta(hours=6)).strftime("%Y-%m-%dT%H:%M:%SZ")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("content-length", 0)))

    def respond(self, status: int, content: bytes, kind: str, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"content-type": kind, "content-length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    # The API asks for 16 things at once, on connections that may all be new; one that is not taken at once costs it a second.
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """A client that goes away, or that does not trust the certificate, is the client's to complain of."""


def serve(address: tuple[str, int], handler: type[Handler], tls: ssl.SSLContext | None = None) -> None:
    server = Server(address, handler)
    if tls:
        # The handshake is the connection's own thread's, at its first read: one that fails must not stop the others.
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    background(server.serve_forever)


def agent() -> None:
    """The Pod Identity agent: the token names the release, and so do the credentials."""

    class Agent(Handler):
        def do_GET(self) -> None:
            token = self.headers.get("authorization", "")
            if self.path != "/v1/credentials" or not token:
                self.respond(400, b"no token", "text/plain")
                return
            issued = {"AccessKeyId": token, "SecretAccessKey": "secret", "Token": "session", "Expiration": until()}
            self.respond(200, json.dumps(issued).encode(), "application/json")

    serve((AGENT, 80), Agent)


def dynamodb(network: Network, emulator: str, tls: ssl.SSLContext) -> None:
    """DynamoDB and STS of a release, by name, on a port without TLS and on one with it."""

    class Front(Handler):
        def do_POST(self) -> None:
            body = self.body()
            if "x-amz-target" not in self.headers:
                key = urllib.parse.parse_qs(body.decode())["WebIdentityToken"][0]
                self.respond(200, ASSUMED.format(key=key, until=until()).encode(), "text/xml")
                return
            connection = http.client.HTTPConnection(emulator, timeout=30)
            kept = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection", "content-length")}
            connection.request("POST", "/", body, kept)
            answer = connection.getresponse()
            content = answer.read()
            checksum = {"x-amz-crc32": answer.headers["x-amz-crc32"]} if answer.headers["x-amz-crc32"] else {}
            self.respond(answer.status, content, answer.headers["content-type"], **checksum)
            connection.close()

    network.name("dynamodb.default.svc", [network.gateway])
    serve((network.gateway, HTTP), Front)
    serve((network.gateway, HTTPS), Front, tls)


def collector(network: Network) -> Collector:
    """A collector for OTLP over HTTP that keeps what it gets."""
    found = Collector()

    class Otlp(Handler):
        def do_POST(self) -> None:
            found.received.append((self.path, {name.lower(): value for name, value in self.headers.items()}, self.body()))
            self.respond(200, b"", "application/x-protobuf")

    network.name("collector.monitoring.svc", [network.gateway])
    serve((network.gateway, OTLP), Otlp)
    return found


def authority(folder: Path) -> tuple[ssl.SSLContext, str]:
    """A certificate for DynamoDB's name of a root that no image has; and that root."""
    name = "dynamodb.default.svc"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", "/CN=Test root", "-keyout", folder / "root.key", "-out", folder / "root.crt"], check=True, capture_output=True)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-CA", folder / "root.crt", "-CAkey", folder / "root.key", "-subj", f"/CN={name}",
                    "-addext", f"subjectAltName=DNS:{name}", "-addext", "basicConstraints=critical,CA:FALSE",
                    "-keyout", folder / "leaf.key", "-out", folder / "leaf.crt"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "leaf.crt", folder / "leaf.key")
    return context, (folder / "root.crt").read_text()


def call(emulator: str, key: str, target: str, request: dict) -> dict:
    """A call to the emulator itself, as a customer's application makes it."""
    connection = http.client.HTTPConnection(emulator, timeout=30)
    signed = f"AWS4-HMAC-SHA256 Credential={key}/20260101/eu-central-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0"
    connection.request("POST", "/", json.dumps(request), {
        "x-amz-target": f"DynamoDB_20120810.{target}", "content-type": "application/x-amz-json-1.0", "authorization": signed})
    answer = connection.getresponse()
    content = json.loads(answer.read())
    connection.close()
    if answer.status != 200:
        raise RuntimeError(f"{target}: {content}")
    return content
