//! How an attempt ended: one closed list of names, for stored attempts, metrics and tenants alike.

use std::error::Error;
use std::io;

use reqwest::StatusCode;
use rustls::Error as TlsError;
use serde::{Deserialize, Serialize};

/// `EMFILE` and `ENFILE`, the same on Linux and macOS: no file descriptors left in this process, or on this machine.
const NO_DESCRIPTORS: [i32; 2] = [24, 23];

/// How an attempt ended. The text forms are stored and shown; they do not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum Outcome {
    /// A 2xx, and its body ended (or was long enough) in time.
    Delivered,
    /// Any other status but those below.
    HttpStatus,
    /// A 3xx. It is not followed.
    Redirect,
    /// 410: the endpoint is to be disabled.
    Gone,
    /// The policy refuses the URL as it is written.
    RefusedUrl,
    /// The policy refuses an address of the host. Tenants see [`Outcome::Dns`] instead.
    DeniedAddress,
    /// The host has no address, or its name servers do not answer.
    Dns,
    /// Nothing accepts connections there, or the host has only IPv6 addresses and this machine only IPv4.
    Connect,
    /// The TLS handshake failed.
    Tls,
    /// The receiver's certificate is not to be trusted: expired, of another name, or of an unknown authority.
    Certificate,
    /// No connection or no answer in time.
    Timeout,
    /// The connection was closed or reset before the answer was complete.
    Reset,
    /// What came back is not HTTP.
    BadResponse,
    /// A 2xx whose body did not end in time.
    BodyTooSlow,
    /// No name server of ours answers anything.
    NoResolver,
    /// Our own machine or network: no route, no ports, no file descriptors, no certificate authorities.
    Local,
}

/// The text is no outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no outcome of an attempt")]
pub struct UnknownOutcome(String);

impl Outcome {
    pub const ALL: [Self; 16] = [
        Self::Delivered,
        Self::HttpStatus,
        Self::Redirect,
        Self::Gone,
        Self::RefusedUrl,
        Self::DeniedAddress,
        Self::Dns,
        Self::Connect,
        Self::Tls,
        Self::Certificate,
        Self::Timeout,
        Self::Reset,
        Self::BadResponse,
        Self::BodyTooSlow,
        Self::NoResolver,
        Self::Local,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::HttpStatus => "http_status",
            Self::Redirect => "redirect",
            Self::Gone => "gone",
            Self::RefusedUrl => "refused_url",
            Self::DeniedAddress => "denied_address",
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Certificate => "certificate",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::BadResponse => "bad_response",
            Self::BodyTooSlow => "body_too_slow",
            Self::NoResolver => "no_resolver",
            Self::Local => "local",
        }
    }

    /// A failure of our own side, which is not charged to the endpoint.
    pub fn is_ours(self) -> bool {
        matches!(self, Self::NoResolver | Self::Local)
    }

    /// What tenants are shown. Whether a name has an address that must not be reached, or none, is for the operator's eyes: the
    /// difference would show a tenant which names the DNS of our own network knows.
    #[must_use]
    pub fn shown(self) -> Self {
        if self == Self::DeniedAddress { Self::Dns } else { self }
    }

    pub(super) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::GONE => Self::Gone,
            _ if status.is_success() => Self::Delivered,
            _ if status.is_redirection() => Self::Redirect,
            _ => Self::HttpStatus,
        }
    }

    /// The outcome of an exchange that broke off. What lies deepest says most.
    pub(super) fn of_error(error: &reqwest::Error) -> Self {
        let causes = || std::iter::successors(error.source(), |cause| beneath(*cause));
        let find = |outcome: fn(&(dyn Error + 'static)) -> Option<Self>| causes().find_map(outcome);
        if let Some(outcome) = find(of_tls).or_else(|| find(of_machine)) {
            return outcome;
        }
        if error.is_timeout() {
            return Self::Timeout;
        }
        match find(of_connection) {
            // Closed in the middle of the handshake: there is no TLS error, and no connection either.
            Some(Self::Reset) if error.is_connect() => Self::Tls,
            _ if error.is_connect() => Self::Connect,
            Some(outcome) => outcome,
            None => Self::Reset,
        }
    }
}

/// The next cause down. The source of an I/O error skips the error it was made of.
fn beneath<'a>(cause: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => cause.source(),
    }
}

fn of_tls(cause: &(dyn Error + 'static)) -> Option<Outcome> {
    cause.downcast_ref::<TlsError>().map(|error| match error {
        TlsError::InvalidCertificate(_) => Outcome::Certificate,
        _ => Outcome::Tls,
    })
}

fn of_machine(cause: &(dyn Error + 'static)) -> Option<Outcome> {
    use io::ErrorKind::{AddrNotAvailable, NetworkDown, NetworkUnreachable, OutOfMemory, PermissionDenied};
    let error = cause.downcast_ref::<io::Error>()?;
    let kind = matches!(error.kind(), AddrNotAvailable | NetworkDown | NetworkUnreachable | OutOfMemory | PermissionDenied);
    let descriptors = error.raw_os_error().is_some_and(|code| NO_DESCRIPTORS.contains(&code));
    (kind || descriptors).then_some(Outcome::Local)
}

fn of_connection(cause: &(dyn Error + 'static)) -> Option<Outcome> {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    if let Some(error) = cause.downcast_ref::<hyper::Error>() {
        return if error.is_parse() { Some(Outcome::BadResponse) } else { None };
    }
    let error = cause.downcast_ref::<io::Error>()?;
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof).then_some(Outcome::Reset)
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Outcome {
    type Err = UnknownOutcome;

    fn from_str(text: &str) -> Result<Self, UnknownOutcome> {
        let found = Self::ALL.into_iter().find(|outcome| outcome.as_str() == text);
        found.ok_or_else(|| UnknownOutcome(text.chars().take(64).collect()))
    }
}

impl TryFrom<String> for Outcome {
    type Error = UnknownOutcome;

    fn try_from(text: String) -> Result<Self, UnknownOutcome> {
        text.parse()
    }
}

impl From<Outcome> for &'static str {
    fn from(outcome: Outcome) -> Self {
        outcome.as_str()
    }
}
