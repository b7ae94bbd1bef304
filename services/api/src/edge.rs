//! What stands between clients and handlers: who may call from where, how often, and how the API takes its leave.

use std::str::FromStr;
use std::time::Duration;

use axum::http::HeaderValue;
use tidemark_runtime::settings::{Reader, Setting, parse};
use tidemark_store::RATE_MAX;

use crate::answers::SHARED_FOR;
use crate::connections::ConnectionLimits;
use crate::limits::{Rate, Rates};
use crate::own_rates;

/// Lets web pages call the API.
const CORS_ORIGINS: Setting = Setting::optional(
    "TIDEMARK_CORS_ORIGINS",
    "origins of web pages that may call the API, such as https://app.example.com, separated by commas",
);

const KEY_RPS: Setting = Setting::with_default("TIDEMARK_KEY_RPS", "100", "requests a second that one key may make");
const KEY_BURST: Setting = Setting::optional(
    "TIDEMARK_KEY_BURST",
    "requests that one key may make at once after a pause; unset: twice TIDEMARK_KEY_RPS",
);
const TENANT_RPS: Setting =
    Setting::with_default("TIDEMARK_TENANT_RPS", "400", "requests a second that all keys of a tenant may make together");
const TENANT_BURST: Setting = Setting::optional(
    "TIDEMARK_TENANT_BURST",
    "requests that all keys of a tenant may make at once after a pause; unset: twice TIDEMARK_TENANT_RPS",
);
const DOCS: Setting = Setting::with_default("TIDEMARK_DOCS", "on", "whether /docs and /openapi.json are served: on or off");

/// All of them, as `--help` lists them.
pub(crate) const EDGE: [Setting; 6] = [CORS_ORIGINS, KEY_RPS, KEY_BURST, TENANT_RPS, TENANT_BURST, DOCS];

/// How long the API goes on taking requests after it was asked to stop. `/readyz` says 503 meanwhile: load balancers that ask every
/// five seconds have noticed by then, twice.
pub const DRAIN_DELAY: Duration = Duration::from_secs(10);

/// The edge of one API. The environment does not set the times; they are for programs that run the API in their own process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeSettings {
    pub cors_origins: Origins,
    /// Of all tenants for which operators set no others. How often a tenant may write follows from its key's rate.
    pub rates: Rates,
    /// How long the rates that operators set for a tenant are taken to be as they were read.
    pub own_rates_known_for: Duration,
    pub docs: Docs,
    /// How long an answer is shared; zero: only while it is being computed.
    pub shared_for: Duration,
    pub drain_delay: Duration,
    pub connections: ConnectionLimits,
}

impl Default for EdgeSettings {
    fn default() -> Self {
        Self {
            cors_origins: Origins::default(),
            rates: Rates::DEFAULT,
            own_rates_known_for: own_rates::KNOWN_FOR,
            docs: Docs::On,
            shared_for: SHARED_FOR,
            drain_delay: DRAIN_DELAY,
            connections: ConnectionLimits::default(),
        }
    }
}

impl EdgeSettings {
    /// `None` stands for an error, kept until [`Reader::finish`].
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let cors_origins = reader.read_optional(&CORS_ORIGINS, parse::from_str::<Origins>);
        let key = rate(reader, &KEY_RPS, &KEY_BURST);
        let tenant = rate(reader, &TENANT_RPS, &TENANT_BURST);
        let docs = reader.read(&DOCS, parse::from_str::<Docs>);
        let rates = Rates { key: key?, tenant: tenant? };
        Some(Self { cors_origins: cors_origins?.unwrap_or_default(), rates, docs: docs?, ..Self::default() })
    }
}

/// A rate of two settings. `None` stands for an error, kept until [`Reader::finish`].
fn rate(reader: &mut Reader<'_>, per_second: &Setting, burst: &Setting) -> Option<Rate> {
    let number = || parse::whole_number(1..=u64::from(RATE_MAX));
    let (per_second, burst) = (reader.read(per_second, number()), reader.read_optional(burst, number()));
    let per_second = u32::try_from(per_second?).expect("within its range");
    let burst = burst?.map(|burst| u32::try_from(burst).expect("within its range"));
    Some(Rate { per_second, burst: burst.unwrap_or((2 * per_second).min(RATE_MAX)) })
}

/// Whether the page for people and the document are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Docs {
    On,
    Off,
}

/// The text is neither `on` nor `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("give `on` or `off`")]
pub struct InvalidDocs;

impl FromStr for Docs {
    type Err = InvalidDocs;

    fn from_str(text: &str) -> Result<Self, InvalidDocs> {
        match text {
            "on" => Ok(Self::On),
            "off" => Ok(Self::Off),
            _ => Err(InvalidDocs),
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
    use tidemark_runtime::settings::{Invalid, Vars};

    use super::*;

    fn read(vars: &[(&str, &str)]) -> Result<EdgeSettings, Invalid> {
        let vars = Vars::of(vars.iter().copied());
        let mut reader = Reader::new(&vars);
        let edge = EdgeSettings::read(&mut reader);
        reader.finish(|| edge)
    }

    #[test]
    fn rates_have_defaults_and_a_burst_follows_its_rate() {
        assert_eq!(read(&[]), Ok(EdgeSettings::default()));
        let edge = read(&[("TIDEMARK_KEY_RPS", "7"), ("TIDEMARK_TENANT_RPS", "1000000"), ("TIDEMARK_DOCS", "off")]);
        let rates = Rates { key: Rate { per_second: 7, burst: 14 }, tenant: Rate { per_second: 1_000_000, burst: 1_000_000 } };
        assert_eq!(edge, Ok(EdgeSettings { rates, docs: Docs::Off, ..EdgeSettings::default() }));
        let edge = read(&[("TIDEMARK_KEY_BURST", "5"), ("TIDEMARK_TENANT_BURST", "1")]).expect("two bursts");
        assert_eq!((edge.rates.key.burst, edge.rates.tenant.burst), (5, 1), "a rate does not follow its burst");
    }

    #[test]
    fn a_wrong_rate_says_what_is_allowed() {
        for name in ["TIDEMARK_KEY_RPS", "TIDEMARK_KEY_BURST", "TIDEMARK_TENANT_RPS", "TIDEMARK_TENANT_BURST"] {
            for (text, wrong) in [("0", "out of range"), ("1000001", "out of range"), ("1.5", "not a whole number")] {
                let told = read(&[(name, text)]).expect_err(text).to_string();
                assert!(
                    told.starts_with(&format!("{name}: `{text}` is {wrong}; give a whole number from 1 to 1000000")),
                    "{told}"
                );
            }
        }
        let told = read(&[("TIDEMARK_DOCS", "true")]).expect_err("neither").to_string();
        assert_eq!(told, "TIDEMARK_DOCS: `true` is not allowed: give `on` or `off`");
    }

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
