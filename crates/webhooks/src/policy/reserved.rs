//! Networks that no webhook reaches unless the operator allows it, and the IPv4 addresses that hide inside IPv6 ones.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use ipnet::IpNet;

/// Each network with its name. From IANA's special-purpose registries (RFC 6890 and later), and addresses that only look public.
/// The last rows close what is outside the global unicast space, 2000::/3; the rows before them name its parts.
pub(super) const RESERVED: [(&str, &str); 40] = [
    ("0.0.0.0/8", "this network"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "shared by carriers"),
    ("127.0.0.0/8", "loopback"),
    ("168.63.129.16/32", "metadata of Azure"),
    ("169.254.0.0/16", "link-local and metadata"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "protocol assignments"),
    ("192.0.2.0/24", "documentation"),
    ("192.88.99.0/24", "6to4 relays"),
    ("192.168.0.0/16", "private"),
    ("198.18.0.0/15", "benchmarks"),
    ("198.51.100.0/24", "documentation"),
    ("203.0.113.0/24", "documentation"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved"),
    ("::/128", "unspecified"),
    ("::1/128", "loopback"),
    ("::/96", "IPv4-compatible"),
    ("64:ff9b::/96", "NAT64"),
    ("64:ff9b:1::/48", "NAT64 of the local network"),
    ("100::/64", "discarded"),
    ("100:0:0:1::/64", "dummy"),
    ("2001::/32", "Teredo"),
    ("2001:2::/48", "benchmarks"),
    ("2001:10::/28", "ORCHID"),
    ("2001:20::/28", "ORCHID"),
    ("2001::/23", "protocol assignments"),
    ("2001:db8::/32", "documentation"),
    ("2002::/16", "6to4"),
    ("3fff::/20", "documentation"),
    ("5f00::/16", "segment routing"),
    ("fc00::/7", "private"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "site-local"),
    ("ff00::/8", "multicast"),
    ("::/3", "not global unicast"),
    ("4000::/2", "not global unicast"),
    ("8000::/2", "not global unicast"),
    ("c000::/2", "not global unicast"),
];

static NETWORKS: LazyLock<Vec<(IpNet, &str)>> =
    LazyLock::new(|| RESERVED.map(|(network, name)| (network.parse().expect("the table holds networks"), name)).into());

/// What an address is reserved for; `None` for one on the public internet. Takes the canonical form.
pub(super) fn reason(address: IpAddr) -> Option<&'static str> {
    NETWORKS.iter().find(|(network, _)| network.contains(&address)).map(|(_, name)| *name)
}

/// The IPv4 addresses that an IPv6 address leads to through a tunnel or translator. (A v4-mapped address is one itself.)
///
/// Of the local NAT64 prefix the form with a prefix of 96 bits is read; another length shows in nothing.
pub(super) fn embedded(address: IpAddr) -> [Option<Ipv4Addr>; 2] {
    let IpAddr::V6(address) = address else {
        return [None; 2];
    };
    let bits = address.to_bits();
    let at = |low: u32| Ipv4Addr::from_bits((bits >> low) as u32);
    match address.segments() {
        // `::` and `::1` are addresses of their own.
        [0, 0, 0, 0, 0, 0, ..] if bits > Ipv6Addr::LOCALHOST.to_bits() => [Some(at(0)), None],
        [0x64, 0xff9b, 0, 0, 0, 0, ..] | [0x64, 0xff9b, 1, ..] => [Some(at(0)), None],
        [0x2002, ..] => [Some(at(80)), None],
        // Teredo: the server, and the client with its bits turned.
        [0x2001, 0, ..] => [Some(at(64)), Some(Ipv4Addr::from_bits(!at(0).to_bits()))],
        _ => [None; 2],
    }
}
