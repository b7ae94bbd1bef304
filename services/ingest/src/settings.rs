//! What a worker needs to know, from the environment.

use std::net::SocketAddr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tidemark_runtime::settings::deployment::{
    self, ADMIN_ADDR, CONTROL_TABLE, DEFINITIONS, SECRET_KEY, SECRET_KEY_PREVIOUS, TABLE, WEBHOOK_ALLOW_CIDRS, WEBHOOK_DENY_CIDRS,
};
use tidemark_runtime::settings::{Invalid, Reader, SecretKeys, Setting, Vars, parse};
use tidemark_runtime::telemetry::{OTLP_ENDPOINT, RUST_LOG};
use tidemark_store::Tables;
use tidemark_streams::Start;
use tidemark_webhooks::policy::Networks;

use crate::dispatch::Pace;

pub(crate) const START: Setting = Setting::with_default(
    "TIDEMARK_START",
    "trim_horizon",
    "where a stream without positions begins: trim_horizon, now, or an RFC 3339 instant",
);
pub(crate) const WORKER_ID: Setting =
    Setting::optional("TIDEMARK_WORKER_ID", "name of this worker in leases; unset: the host name");
pub(crate) const FLUSH_INTERVAL: Setting = Setting::with_default(
    "TIDEMARK_FLUSH_INTERVAL_MS",
    "250",
    "longest wait for a batch to fill while records keep coming, in ms",
);
pub(crate) const LEASE_TTL: Setting =
    Setting::with_default("TIDEMARK_LEASE_TTL_MS", "15000", "how long a silent worker keeps its shards, in ms");
pub(crate) const ALERT_MAX_AGE: Setting = Setting::with_default(
    "TIDEMARK_ALERT_MAX_AGE",
    "PT1H",
    "events of alerts that are older when they are found are held until the stream has caught up: an ISO 8601 duration",
);

/// All of them, as `--help` lists them.
pub const ALL: [Setting; 15] = [
    DEFINITIONS,
    TABLE,
    CONTROL_TABLE,
    ADMIN_ADDR,
    START,
    WORKER_ID,
    FLUSH_INTERVAL,
    LEASE_TTL,
    ALERT_MAX_AGE,
    SECRET_KEY,
    SECRET_KEY_PREVIOUS,
    WEBHOOK_ALLOW_CIDRS,
    WEBHOOK_DENY_CIDRS,
    RUST_LOG,
    OTLP_ENDPOINT,
];

/// The settings of one worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Path of the definition file.
    pub definitions: String,
    pub tables: Tables,
    pub admin_addr: SocketAddr,
    pub start: Start,
    pub worker_id: String,
    pub flush_interval: Duration,
    pub lease_ttl: Duration,
    /// More than zero.
    pub alert_max_age: SignedDuration,
    pub webhooks: WebhookSettings,
}

/// What the dispatcher needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookSettings {
    /// Secrets of endpoints are sealed with these.
    pub keys: SecretKeys,
    /// Private networks that endpoints may be in.
    pub allow: Networks,
    /// Networks that nothing may be sent to.
    pub deny: Networks,
    /// Another one than [`Pace::STANDARD`] is for tests.
    pub pace: Pace,
}

impl Settings {
    /// # Errors
    /// Every variable that is missing or wrong, together.
    pub fn read(vars: &Vars) -> Result<Self, Invalid> {
        let mut reader = Reader::new(vars);
        let definitions = reader.read(&DEFINITIONS, parse::text);
        let tables = deployment::tables(&mut reader).map(|(data, control)| Tables { data, control });
        let admin_addr = reader.read(&ADMIN_ADDR, parse::socket_address);
        let start = reader.read(&START, start);
        let worker_id = reader.read_optional(&WORKER_ID, worker_id);
        let flush_interval = reader.read(&FLUSH_INTERVAL, parse::milliseconds(1..=60_000));
        let lease_ttl = reader.read(&LEASE_TTL, parse::milliseconds(200..=600_000));
        let alert_max_age = reader.read(&ALERT_MAX_AGE, age);
        let webhooks = WebhookSettings::read(&mut reader);
        reader.finish(|| {
            Some(Self {
                definitions: definitions?,
                tables: tables?,
                admin_addr: admin_addr?,
                start: start?,
                worker_id: worker_id?.unwrap_or_else(deployment::host_name),
                flush_interval: flush_interval?,
                lease_ttl: lease_ttl?,
                alert_max_age: alert_max_age?,
                webhooks: webhooks?,
            })
        })
    }
}

impl WebhookSettings {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let keys = SecretKeys::read(reader);
        let allow = reader.read_optional(&WEBHOOK_ALLOW_CIDRS, parse::from_str::<Networks>);
        let deny = reader.read_optional(&WEBHOOK_DENY_CIDRS, parse::from_str::<Networks>);
        Some(Self { keys: keys?, allow: allow?.unwrap_or_default(), deny: deny?.unwrap_or_default(), pace: Pace::STANDARD })
    }
}

fn start(text: &str) -> Result<Start, String> {
    match text {
        "trim_horizon" => Ok(Start::TrimHorizon),
        "now" => Ok(Start::Now),
        instant => match instant.parse::<Timestamp>() {
            Ok(instant) => Ok(Start::At(instant)),
            Err(_) => Err(format!("`{instant}` is neither trim_horizon, nor now, nor an instant such as 2026-11-22T00:00:00Z")),
        },
    }
}

fn age(text: &str) -> Result<SignedDuration, String> {
    // The parser also knows a friendlier form, which neither the help nor the chart does.
    let age = text.starts_with('P').then(|| text.parse::<SignedDuration>().ok()).flatten();
    age.filter(SignedDuration::is_positive)
        .ok_or_else(|| format!("`{text}` is no ISO 8601 duration of more than zero, such as PT1H"))
}

/// A worker's name becomes a part of keys and of condition values.
fn worker_id(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if (1..=200).contains(&text.len()) && text.chars().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err("a worker's name is 1 to 200 of A-Z a-z 0-9 . _ -".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: (&str, &str) = ("TIDEMARK_SECRET_KEY", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=");

    #[test]
    fn every_wrong_setting_is_named_with_what_is_allowed() {
        let wrong = [
            ("TIDEMARK_START", "yesterday"),
            ("TIDEMARK_LEASE_TTL_MS", "5"),
            ("TIDEMARK_WORKER_ID", "a#b"),
            ("TIDEMARK_ALERT_MAX_AGE", "3600"),
            ("TIDEMARK_WEBHOOK_ALLOW_CIDRS", "10.0.0.1"),
            ("TIDEMARK_WEBHOOK_DENY_CIDRS", "everything"),
        ];
        let report = Settings::read(&Vars::of(wrong)).expect_err("all are wrong").to_string();
        for name in wrong.map(|(name, _)| name).into_iter().chain(["TIDEMARK_DEFINITIONS", "TIDEMARK_SECRET_KEY"]) {
            assert!(report.contains(name), "{name}: {report}");
        }
        assert_eq!(report.lines().count(), wrong.len() + 2, "{report}");
    }

    #[test]
    fn an_age_is_an_iso_8601_duration_and_no_friendlier_text() {
        assert_eq!(age("PT90M"), Ok(SignedDuration::from_mins(90)));
        for wrong in ["1h", "3600", "PT0S", "-PT1H", "P", "1 hour"] {
            assert!(age(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn defaults_are_those_of_the_contract() {
        let settings = Settings::read(&Vars::of([("TIDEMARK_DEFINITIONS", "d.yaml"), KEY])).expect("complete");
        assert_eq!(settings.start, Start::TrimHorizon);
        assert_eq!((settings.flush_interval.as_millis(), settings.lease_ttl.as_millis()), (250, 15_000));
        assert_eq!(settings.alert_max_age, SignedDuration::from_hours(1));
        let WebhookSettings { keys, allow, deny, pace } = settings.webhooks;
        assert_eq!((allow, deny, pace), (Networks::default(), Networks::default(), Pace::STANDARD));
        assert_eq!((&*keys.current, keys.previous), (b"01234567890123456789012345678901", None));
        assert!(!settings.worker_id.is_empty());
    }
}
