"""The node that pods run on: a bridge, a network namespace with an address for each pod, the cluster's DNS, and Services.

All of it is in a network and a mount namespace of the test's own (check.sh), and goes with them.
"""

import itertools
import select
import socket
import struct
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

NAMESPACE = "shop"
DOMAIN = "cluster.local"
# How the kubelet has names looked up.
RESOLV_CONF = "search {ns}.svc.{domain} svc.{domain} {domain}\nnameserver {server}\noptions ndots:5\n"
# The EKS Pod Identity agent of a node.
AGENT = "169.254.170.23"
# How much of a connection is carried on at once, in bytes.
CHUNK = 65536
BRIDGE = "node0"


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def set_up() -> None:
    """The bridge, before the first network."""
    # With an address of its own. Otherwise it takes the lowest of its ports', anew with each pod, and who knows the old one waits.
    ip("link", "add", BRIDGE, "address", "02:00:00:00:00:01", "type", "bridge")
    ip("address", "add", f"{AGENT}/32", "dev", BRIDGE)
    ip("link", "set", BRIDGE, "up")


@dataclass
class Address:
    """Where a pod is; `probed` is the one that the kubelet uses."""

    namespace: str
    v4: str
    probed: str


@dataclass
class Network:
    """The cluster's network as one release sees it, apart from others."""

    number: int
    # By full name.
    names: dict[str, list[str]] = field(default_factory=dict)
    hosts: itertools.count = field(default_factory=lambda: itertools.count(10))

    @property
    def gateway(self) -> str:
        return f"10.88.{self.number}.1"

    @property
    def resolv_conf(self) -> str:
        return RESOLV_CONF.format(ns=NAMESPACE, domain=DOMAIN, server=self.gateway)

    def open(self) -> None:
        """The gateway, and DNS on it."""
        ip("address", "add", f"{self.gateway}/16", "dev", BRIDGE)
        ip("-6", "address", "add", f"fd00:88::{self.number}:1/64", "dev", BRIDGE, "nodad")
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind((self.gateway, 53))
        background(lambda: answer_names(server, self.names))

    def name(self, name: str, addresses: list[str]) -> None:
        self.names[f"{name}.{DOMAIN}"] = addresses

    def address(self, is_v6: bool) -> Address:
        """A network namespace with an address on the bridge."""
        host = next(self.hosts)
        name, link = f"pod-{self.number}-{host}", f"veth{self.number}-{host}"
        v4, v6 = f"10.88.{self.number}.{host}", f"fd00:88::{self.number}:{host}"
        ip("netns", "add", name)
        ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("link", "set", link, "master", BRIDGE, "up")
        for arguments in (["link", "set", "lo", "up"], ["link", "set", "eth0", "up"], ["address", "add", f"{v4}/16", "dev", "eth0"],
                          ["-6", "address", "add", f"{v6}/64", "dev", "eth0", "nodad"], ["route", "add", "default", "via", self.gateway]):
            ip("-netns", name, *arguments)
        return Address(name, v4, v6 if is_v6 else v4)

    def service(self, name: str, ports: dict[int, int], pods: list[str]) -> str:
        """A Service's own address, whose ports lead to a port of its first pod."""
        address = f"10.88.{self.number}.{next(self.hosts)}"
        ip("address", "add", f"{address}/32", "dev", BRIDGE)
        for port, target in ports.items():
            listener = socket.create_server((address, port), backlog=128)
            background(lambda listener=listener, target=target: forward(listener, (pods[0], target)))
        self.name(f"{name}.{NAMESPACE}.svc", [address])
        return address


def background(work: Callable[[], None]) -> None:
    threading.Thread(target=work, daemon=True).start()


def answer_names(server: socket.socket, names: dict[str, list[str]]) -> None:
    """DNS for A records; a name without one is answered as empty if it is known, and as unknown if it is not."""
    while True:
        query, client = server.recvfrom(512)
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        question, (kind,) = query[12:at + 5], struct.unpack("!H", query[at + 1:at + 3])
        known = names.get(".".join(labels).lower())
        addresses = known if known and kind == 1 else []
        records = b"".join(b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 5, 4) + socket.inet_aton(address) for address in addresses)
        flags = 0x8180 if known else 0x8183
        server.sendto(query[:2] + struct.pack("!HHHHH", flags, 1, len(addresses), 0, 0) + question + records, client)


def forward(listener: socket.socket, target: tuple[str, int]) -> None:
    while True:
        client, _ = listener.accept()
        background(lambda client=client: carry(client, target))


def carry(client: socket.socket, target: tuple[str, int]) -> None:
    """One connection, both ways, until either side ends it."""
    with client:
        try:
            with socket.create_connection(target, timeout=5) as server:
                other = {client: server, server: client}
                while True:
                    for readable in select.select([client, server], [], [])[0]:
                        piece = readable.recv(CHUNK)
                        if not piece:
                            return
                        other[readable].sendall(piece)
        except OSError:
            return
