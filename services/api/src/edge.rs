//! What stands between clients and handlers: who may call from where, how often, and how the API takes its leave.

use std::str::FromStr;
use std::time::Duration;

use axum::http::HeaderValue;
use tidemark_runtime::settings::Setting;

use crate::answers::SHARED_FOR;
use crate::connections::ConnectionLimits;
use crate::limits::{KEY_RATE, Rate};

/// The setting that lets web pages call the API.
pub const CORS_ORIGINS: Setting = Setting::optional(
    "TIDEMARK_CORS_ORIGINS",
    "origins of web pages that may call the API, such as https://app.example.com, separated by commas",
);

/// How long the API goes on taking requests after it was asked to stop. `/readyz` says 503 meanwhile: load balancers that ask every
/// five seconds have noticed by then, twice.
pub const DRAIN_DELAY: Duration = Duration::from_secs(10);

/// The edge of one API. The environment sets the origins alone; the rest is for whoever runs the API in a process of its own making.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeSettings {
    pub cors_origins: Origins,
    /// What one key may ask. What a tenant may ask, and how often it may write, follow from it.
    pub key_rate: Rate,
    /// How long an answer is shared; zero: only while it is being computed.
    pub shared_for: Duration,
    pub drain_delay: Duration,
    pub connections: ConnectionLimits,
}

impl Default for EdgeSettings {
    fn default() -> Self {
        Self {
            cors_origins: Origins::default(),
            key_rate: KEY_RATE,
            shared_for: SHARED_FOR,
            drain_delay: DRAIN_DELAY,
            connections: ConnectionLimits::default(),
        }
    }
}

/// Origins as browsers send them, each exactly.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins(pub(crate) Vec<HeaderValue>);

/// The text is no list of origins.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no origin: give scheme and host, and a port unless it is the scheme's own, such as https://app.example.com")]
pub struct InvalidOrigin(String);

impl FromStr for Origins {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(|part| origin(part).ok_or_else(|| InvalidOrigin(part.to_owned()))).collect::<Result<_, _>>().map(Self)
    }
}

/// An origin in the one spelling that browsers use (RFC 6454 §6.2). Another would match nothing, and say so to nobody.
fn origin(text: &str) -> Option<HeaderValue> {
    let url = url::Url::parse(text).ok().filter(|url| matches!(url.scheme(), "https" | "http"))?;
    (url.origin().ascii_serialization() == text).then(|| HeaderValue::from_str(text).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_exact() {
        let origins: Origins = "https://app.example.com, http://localhost:3000,".parse().expect("two origins");
        assert_eq!(origins.0, ["https://app.example.com", "http://localhost:3000"]);
        for bad in [
            "*",
            "https://*.example.com/",
            "https://a.example/",
            "https://a.example:443",
            "app.example.com",
            "null",
            "HTTPS://A.example",
            "file:///a",
        ] {
            assert!(bad.parse::<Origins>().is_err(), "{bad}");
        }
    }
}
