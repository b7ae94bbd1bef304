//! Which addresses this machine has a route to, by the kernel's own table. Nothing is sent.
//!
//! A host may have only IPv6 addresses, and this machine only IPv4. An attempt would then fail for want of a route, which looks like a
//! fault of ours, although the host can never be reached from here and its owner chose its addresses.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

/// `EAFNOSUPPORT` on Linux and macOS: this machine does not have IPv6 at all.
const NO_FAMILY: [i32; 2] = [97, 47];
/// Any will do: a datagram socket that is connected sends nothing.
const PORT: u16 = 443;

/// Whether there is a route. An error that does not say so counts as one: the exchange will meet it.
pub(super) fn has_route(address: IpAddr) -> bool {
    let any = match address {
        IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    let connected = UdpSocket::bind((any, 0)).and_then(|socket| socket.connect((address, PORT)));
    !connected.is_err_and(|error| is_missing(&error))
}

fn is_missing(error: &io::Error) -> bool {
    let kind = matches!(error.kind(), ErrorKind::NetworkUnreachable | ErrorKind::AddrNotAvailable);
    kind || error.raw_os_error().is_some_and(|code| NO_FAMILY.contains(&code))
}
