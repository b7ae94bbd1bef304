//! Counts refusals by their reasons; durations and statuses are `layers/measured.rs`'s. Attributes are bounded: never a tenant, a key or
//! what a client sent.

use std::sync::LazyLock;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Meter};

/// What a request was refused for with 429.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    /// Its key asks too often.
    Key,
    /// All keys of its tenant together do.
    Tenant,
    /// All keys of its tenant together write too often.
    Write,
    /// Too many requests of its tenant are under way.
    AtOnce,
    /// Too many tests of webhook endpoints are under way, of its tenant or of all.
    TestsAtOnce,
    /// Too many keys that nobody knows are tried.
    Stranger,
    /// The page for people and the document are asked for too often.
    Docs,
}

/// What a request was given up for with 503.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shed {
    /// As many are being answered as can be.
    Overloaded,
    /// Its time was over.
    Timeout,
}

/// Why the API ended a connection that its client had not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// No request head was complete in time.
    Silent,
    /// There was no request for too long.
    Idle,
    /// It was open for so long that its next request was its last.
    Aged,
    /// Its client did not read an answer in time.
    Unsent,
    /// Room was needed for another, or memory.
    Crowded,
    /// It had been asked to finish, and did not.
    Overdue,
    /// There was no room for it.
    Refused,
}

static DECISIONS: LazyLock<Counter<u64>> = LazyLock::new(|| {
    let description = "Requests that a limit refused, by which: its decision";
    meter().u64_counter("tidemark.ratelimit.decisions").with_description(description).build()
});
static SHED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    meter().u64_counter("tidemark.load_shed").with_description("Requests given up under load, by reason").build()
});
static CONNECTIONS_ENDED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    let description = "Connections that were closed, or refused, by the API rather than by the client, by reason";
    meter().u64_counter("tidemark.connections.ended").with_description(description).build()
});
static AUTH_FAILURES: LazyLock<Counter<u64>> = LazyLock::new(|| {
    let description = "Requests whose credential is not good, or not good enough, by reason";
    meter().u64_counter("tidemark.auth.failures").with_description(description).build()
});

fn meter() -> Meter {
    opentelemetry::global::meter("tidemark-api")
}

impl Limit {
    /// Also its name in the headers that tell how it stands.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Tenant => "tenant",
            Self::Write => "write",
            Self::TestsAtOnce => "tests_at_once",
            Self::AtOnce => "at_once",
            Self::Stranger => "stranger",
            Self::Docs => "docs",
        }
    }
}

pub(crate) fn limited(limit: Limit) {
    DECISIONS.add(1, &[KeyValue::new("decision", limit.as_str())]);
}

pub(crate) fn shed(shed: Shed) {
    let reason = match shed {
        Shed::Overloaded => "overloaded",
        Shed::Timeout => "timeout",
    };
    SHED.add(1, &[KeyValue::new("reason", reason)]);
}

pub(crate) fn connection_ended(ended: Ended) {
    let reason = match ended {
        Ended::Silent => "silent",
        Ended::Idle => "idle",
        Ended::Aged => "aged",
        Ended::Unsent => "unsent",
        Ended::Crowded => "crowded",
        Ended::Overdue => "overdue",
        Ended::Refused => "refused",
    };
    CONNECTIONS_ENDED.add(1, &[KeyValue::new("reason", reason)]);
}

/// The reasons are `auth.rs`'s.
pub(crate) fn auth_failed(reason: &'static str) {
    AUTH_FAILURES.add(1, &[KeyValue::new("reason", reason)]);
}
