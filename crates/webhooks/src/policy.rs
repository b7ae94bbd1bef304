//! Where webhooks may go: what a URL must look like, and which addresses its host may have.
//!
//! A URL is judged twice. [`UrlPolicy::check`] looks at the text, when an endpoint is created and before each attempt.
//! [`UrlPolicy::judge`] looks at the addresses of the host, each time it is connected to; only what it returns may be connected to.
//!
//! The operator's two lists say more than the rules: an address in `deny` is never reached, and one in `allow` is reached although
//! it is reserved. What the text alone would refuse (plain http, an IP literal, a name of a private network such as `localhost`) is
//! accepted if *every* address of the host is in `allow`.

mod networks;
mod reserved;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use url::Url;

pub use networks::{Error as NetworksError, Networks};

/// Most characters of a URL, as given and as normalised.
pub const URL_LENGTH_MAX: usize = 2048;
/// Most addresses of one host that are tried.
pub const ADDRESSES_MAX: usize = 8;

/// Names under these are of private networks or of the machine itself, as are names of a single label.
const LOCAL_SUFFIXES: [&str; 7] = [".local", ".internal", ".svc", ".localhost", ".localdomain", ".home.arpa", ".lan"];

/// The rules, with the operator's exceptions.
#[derive(Debug, Clone, Default)]
pub struct UrlPolicy {
    allow: Networks,
    deny: Networks,
}

/// A URL whose text is acceptable. Its addresses are still to be judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    url: Url,
    host: Host,
    reach: Reach,
}

/// Who is to be connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Host {
    /// A name to be looked up: in lower case and punycode, with its trailing dot if it has one.
    Name(String),
    Address(IpAddr),
}

/// Which addresses will do; the stricter is the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    Public,
    /// Only those that the operator allows: the text is acceptable for no others.
    Allowed,
}

/// Addresses that may be connected to: at least one, at most [`ADDRESSES_MAX`]. Only [`UrlPolicy::judge`] makes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vetted(Vec<IpAddr>);

/// What is wrong with the text of a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlProblem {
    #[error("not a URL; give https://host/path")]
    Malformed,
    #[error("longer than {URL_LENGTH_MAX} characters")]
    TooLong,
    #[error("not https; plain http is only for hosts that the operator allows")]
    NotHttps,
    #[error("holds a user name or password; send credentials in a header")]
    UserInfo,
    #[error("holds a fragment (#…), which is never sent")]
    Fragment,
    #[error("the host is no valid name")]
    HostName,
    #[error("the host is an IP address; give a name (addresses are only for hosts that the operator allows)")]
    IpLiteral,
    #[error("the host is a name of a private network; give a public one")]
    LocalName,
}

/// Why no address of a host may be connected to. The address itself is for our own log: it would tell a tenant of our network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    #[error("the host has no address")]
    NoAddress,
    #[error("an address of the host is not on the public internet: {reason}")]
    Reserved { address: IpAddr, reason: &'static str },
    #[error("an address of the host is denied by the operator")]
    ByOperator { address: IpAddr },
    #[error("an address of the host is not among those that the operator allows for such a URL")]
    NotAllowed { address: IpAddr },
}

impl UrlPolicy {
    /// `deny` beats `allow`, and `allow` the built-in list of reserved networks.
    pub fn new(allow: Networks, deny: Networks) -> Self {
        Self { allow, deny }
    }

    /// Judges the text of a URL. Nothing is looked up.
    ///
    /// # Errors
    /// The first problem there is.
    pub fn check(&self, text: &str) -> Result<Target, UrlProblem> {
        if text.chars().count() > URL_LENGTH_MAX {
            return Err(UrlProblem::TooLong);
        }
        // A parser of the web drops these silently; who reads the stored text would see another host than we do.
        if text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
            return Err(UrlProblem::Malformed);
        }
        let url = Url::parse(text).map_err(|_| UrlProblem::Malformed)?;
        if url.as_str().len() > URL_LENGTH_MAX {
            return Err(UrlProblem::TooLong);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlProblem::UserInfo);
        }
        if url.fragment().is_some() {
            return Err(UrlProblem::Fragment);
        }
        let exceptional = |problem| if self.allow.is_empty() { Err(problem) } else { Ok(Reach::Allowed) };
        let by_scheme = match url.scheme() {
            "https" => Reach::Public,
            "http" => exceptional(UrlProblem::NotHttps)?,
            _ => return Err(UrlProblem::NotHttps),
        };
        let (host, by_host) = match url.host().ok_or(UrlProblem::Malformed)? {
            url::Host::Domain(name) if !is_name(name) => return Err(UrlProblem::HostName),
            url::Host::Domain(name) if is_local(name) => (Host::Name(name.to_owned()), exceptional(UrlProblem::LocalName)?),
            url::Host::Domain(name) => (Host::Name(name.to_owned()), Reach::Public),
            url::Host::Ipv4(address) => (Host::Address(address.into()), Reach::Allowed),
            url::Host::Ipv6(address) => (Host::Address(address.into()), Reach::Allowed),
        };
        let reach = by_scheme.max(by_host);
        if let Host::Address(address) = host {
            self.judge_one(address, reach).map_err(|_| UrlProblem::IpLiteral)?;
        }
        Ok(Target { url, host, reach })
    }

    /// Judges the addresses of a target's host: if any is denied, none may be connected to.
    ///
    /// # Errors
    /// The first denied address, or [`Denied::NoAddress`].
    pub fn judge(&self, target: &Target, addresses: &[IpAddr]) -> Result<Vetted, Denied> {
        for address in addresses {
            self.judge_one(*address, target.reach)?;
        }
        let tried = &addresses[..addresses.len().min(ADDRESSES_MAX)];
        if tried.is_empty() { Err(Denied::NoAddress) } else { Ok(Vetted(tried.to_vec())) }
    }

    fn judge_one(&self, address: IpAddr, reach: Reach) -> Result<(), Denied> {
        let canonical = address.to_canonical();
        let verdict = |form: IpAddr, reach: Reach| {
            if self.deny.contains(form) {
                return Err(Denied::ByOperator { address });
            }
            if self.allow.contains(form) {
                return Ok(());
            }
            let reserved = reserved::reason(form).map_or(Ok(()), |reason| Err(Denied::Reserved { address, reason }));
            if reach == Reach::Allowed { Err(Denied::NotAllowed { address }) } else { reserved }
        };
        verdict(canonical, reach)?;
        // A gateway may carry on to the IPv4 address inside: whoever allows the gateway has not allowed all that is behind it.
        reserved::embedded(canonical).into_iter().flatten().try_for_each(|inside| verdict(inside.into(), Reach::Public))
    }
}

impl Target {
    /// The URL in its normal form: the host in lower case and punycode, numeric hosts as addresses.
    pub fn url(&self) -> &Url {
        &self.url
    }

    pub(crate) fn host(&self) -> &Host {
        &self.host
    }
}

impl Vetted {
    pub fn addresses(&self) -> &[IpAddr] {
        &self.0
    }

    /// Those of them that are wanted.
    ///
    /// # Errors
    /// All of them, if none is.
    pub(crate) fn retain(self, is_wanted: impl Fn(&IpAddr) -> bool) -> Result<Self, Self> {
        let wanted: Vec<IpAddr> = self.0.iter().filter(|address| is_wanted(address)).copied().collect();
        if wanted.is_empty() { Err(self) } else { Ok(Self(wanted)) }
    }
}

/// Labels of 1 to 63 characters, 253 in all: what DNS can carry.
fn is_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.len() <= 253 && name.split('.').all(|label| (1..=63).contains(&label.len()))
}

fn is_local(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    !name.contains('.') || LOCAL_SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
}
