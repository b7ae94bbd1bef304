//! The operator's lists of networks: comma-separated CIDR blocks.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};

/// Most networks of one list.
const NETWORKS_MAX: usize = 256;

/// A set of networks; empty by default. Written as `10.1.0.0/16, fd00:ec2::/32`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Networks(Vec<IpNet>);

/// What is wrong with a list, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("`{0}` is not a network; write networks such as 10.1.0.0/16 or fd00::/8, with commas between them")]
    Malformed(String),
    #[error("`{address}` has no prefix length; write {address}/{bits} for this one address", bits = bits(*.address))]
    NoPrefix { address: IpAddr },
    #[error("`{given}` is an address within {network}; write {network}, or {address}/{bits} for this one address",
        network = given.trunc(), address = given.addr(), bits = given.max_prefix_len())]
    HostBits { given: IpNet },
    #[error("{0} networks; at most {NETWORKS_MAX} can be given")]
    TooMany(usize),
}

impl Networks {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them holds the address, which is in its canonical form.
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl FromStr for Networks {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        let networks = items.map(network).collect::<Result<Vec<_>, _>>()?;
        if networks.len() > NETWORKS_MAX { Err(Error::TooMany(networks.len())) } else { Ok(Self(networks)) }
    }
}

fn network(text: &str) -> Result<IpNet, Error> {
    if let Ok(address) = text.parse() {
        return Err(Error::NoPrefix { address });
    }
    let given: IpNet = text.parse().map_err(|_| Error::Malformed(text.chars().take(64).collect()))?;
    if given.addr() != given.network() { Err(Error::HostBits { given }) } else { Ok(canonical(given)) }
}

/// A block of v4-mapped addresses as the IPv4 block it is: addresses are compared in their canonical form.
fn canonical(network: IpNet) -> IpNet {
    let inner_length = network.prefix_len().checked_sub(96);
    match (network.addr().to_canonical(), inner_length) {
        (IpAddr::V4(address), Some(length)) if matches!(network, IpNet::V6(_)) => {
            Ipv4Net::new(address, length).map_or(network, IpNet::V4)
        }
        _ => network,
    }
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_with_blanks_and_trailing_commas() {
        let list: Networks = " 10.1.0.0/16,fd00::/8 , ".parse().expect("a list");
        assert!(!list.is_empty() && list.contains([10, 1, 2, 3].into()) && list.contains("fdff::1".parse().expect("an address")));
        assert!(!list.contains([10, 2, 0, 0].into()));
        assert_eq!("".parse(), Ok(Networks::default()));
        assert_eq!("::ffff:10.0.0.0/104".parse::<Networks>(), "10.0.0.0/8".parse());
        assert_eq!("0.0.0.0/0".parse::<Networks>().map(|all| all.contains([8, 8, 8, 8].into())), Ok(true));
    }

    #[test]
    fn an_error_says_what_to_write() {
        let error = |text: &str| text.parse::<Networks>().expect_err("refused").to_string();
        assert_eq!(error("10.0.0.1"), "`10.0.0.1` has no prefix length; write 10.0.0.1/32 for this one address");
        assert_eq!(error("::1"), "`::1` has no prefix length; write ::1/128 for this one address");
        assert_eq!(
            error("10.1.2.3/8"),
            "`10.1.2.3/8` is an address within 10.0.0.0/8; write 10.0.0.0/8, or 10.1.2.3/32 for this one address"
        );
        for bad in ["10.0.0.0/33", "10.0.0/8", "localhost", "10.0.0.0/8;fd00::/8", "fd00::/129", "-"] {
            assert!(error(bad).starts_with(&format!("`{bad}` is not a network")), "{bad}");
        }
        assert_eq!(vec!["10.0.0.0/8"; 257].join(",").parse::<Networks>(), Err(Error::TooMany(257)));
    }
}
