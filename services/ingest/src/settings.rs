//! What a worker needs to know, from the environment.

use std::net::SocketAddr;
use std::time::Duration;

use jiff::Timestamp;
use tidemark_runtime::settings::deployment::{self, ADMIN_ADDR, CONTROL_TABLE, DEFINITIONS, TABLE};
use tidemark_runtime::settings::{Invalid, Reader, Setting, Vars, parse};
use tidemark_store::Tables;
use tidemark_streams::Start;

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

/// All of them, as `--help` lists them.
pub const ALL: [Setting; 8] = [DEFINITIONS, TABLE, CONTROL_TABLE, ADMIN_ADDR, START, WORKER_ID, FLUSH_INTERVAL, LEASE_TTL];

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
}

impl Settings {
    /// # Errors
    /// Every variable that is missing or wrong, together.
    pub fn read(vars: &Vars) -> Result<Self, Invalid> {
        let mut reader = Reader::new(vars);
        let definitions = reader.read(&DEFINITIONS, parse::text);
        let data = reader.read(&TABLE, parse::text);
        let control = reader.read(&CONTROL_TABLE, parse::text);
        let admin_addr = reader.read(&ADMIN_ADDR, parse::socket_address);
        let start = reader.read(&START, start);
        let worker_id = reader.read_optional(&WORKER_ID, worker_id);
        let flush_interval = reader.read(&FLUSH_INTERVAL, parse::milliseconds(1..=60_000));
        let lease_ttl = reader.read(&LEASE_TTL, parse::milliseconds(200..=600_000));
        reader.finish(|| {
            Some(Self {
                definitions: definitions?,
                tables: Tables { data: data?, control: control? },
                admin_addr: admin_addr?,
                start: start?,
                worker_id: worker_id?.unwrap_or_else(deployment::host_name),
                flush_interval: flush_interval?,
                lease_ttl: lease_ttl?,
            })
        })
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

    #[test]
    fn every_wrong_setting_is_named_with_what_is_allowed() {
        let vars = Vars::of([("TIDEMARK_START", "yesterday"), ("TIDEMARK_LEASE_TTL_MS", "5"), ("TIDEMARK_WORKER_ID", "a#b")]);
        let report = Settings::read(&vars).expect_err("four settings are wrong").to_string();
        for name in ["TIDEMARK_DEFINITIONS", "TIDEMARK_START", "TIDEMARK_LEASE_TTL_MS", "TIDEMARK_WORKER_ID"] {
            assert!(report.contains(name), "{report}");
        }
    }

    #[test]
    fn defaults_are_those_of_the_contract() {
        let settings = Settings::read(&Vars::of([("TIDEMARK_DEFINITIONS", "d.yaml")])).expect("complete");
        assert_eq!(settings.start, Start::TrimHorizon);
        assert_eq!((settings.flush_interval.as_millis(), settings.lease_ttl.as_millis()), (250, 15_000));
        assert!(!settings.worker_id.is_empty());
    }
}
