//! What the dispatcher measures. Attributes are bounded: never a tenant, an endpoint or a URL.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Histogram};
use tidemark_store::{Next, Slot, Trigger};
use tidemark_webhooks::health::WARNED_AT_PERCENT;
use tidemark_webhooks::payload::DisabledReason;
use tidemark_webhooks::send::Attempt;

/// An answer takes some tens of milliseconds; the longest exchange is 15 seconds.
const ATTEMPT_SECONDS: [f64; 9] = [0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0];
/// From a change to its delivery it takes a second; a receiver that is down makes it hours.
const LATENCY_SECONDS: [f64; 10] = [0.25, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0, 3_600.0, 21_600.0];

/// The dispatcher's instruments.
#[derive(Debug, Clone)]
pub(super) struct Instruments {
    attempts: Counter<u64>,
    attempt_seconds: Histogram<f64>,
    alert_seconds: Histogram<f64>,
    deliveries: Counter<u64>,
    events: Counter<u64>,
    disabled: Counter<u64>,
    warnings: Counter<u64>,
    panics: Counter<u64>,
    due: Gauge<u64>,
    oldest_seconds: Gauge<f64>,
}

/// What became of an event.
#[derive(Debug, Clone, Copy)]
pub(super) enum EventFate {
    FannedOut,
    /// A later event of its episode tells all.
    Skipped,
    /// Its stream has not caught up yet; counted once for all that a stream holds, each time somebody looks.
    Held,
}

impl Default for Instruments {
    fn default() -> Self {
        let meter = opentelemetry::global::meter("tidemark-ingest");
        let instruments = Self {
            attempts: meter.u64_counter("tidemark.webhook.attempts").with_description("Attempts, by outcome and trigger").build(),
            attempt_seconds: meter
                .f64_histogram("tidemark.webhook.attempt.duration")
                .with_unit("s")
                .with_description("Time from an attempt's beginning to its outcome")
                .with_boundaries(ATTEMPT_SECONDS.to_vec())
                .build(),
            alert_seconds: meter
                .f64_histogram("tidemark.alert.latency")
                .with_unit("s")
                .with_description("Time from the change of an item to an endpoint's first 2xx for the alert's event, by type")
                .with_boundaries(LATENCY_SECONDS.to_vec())
                .build(),
            deliveries: meter
                .u64_counter("tidemark.webhook.deliveries")
                .with_description("Deliveries that came to an end, by state; put_off: for a fault of our own")
                .build(),
            events: meter
                .u64_counter("tidemark.webhook.events")
                .with_description("Events looked at to be fanned out, by what became of them")
                .build(),
            disabled: meter
                .u64_counter("tidemark.webhook.endpoints.disabled")
                .with_description("Endpoints disabled because they are gone or fail, by reason")
                .build(),
            warnings: meter
                .u64_counter("tidemark.webhook.endpoints.warned")
                .with_description("Warnings that an endpoint is about to be disabled, by how far it is, in percent")
                .build(),
            panics: meter.u64_counter("tidemark.webhook.panics").with_description("Work that ended in a panic").build(),
            due: meter
                .u64_gauge("tidemark.outbox.due")
                .with_description(
                    "Due entries that the last look at a slot met; it passes over most of what there is no room for",
                )
                .build(),
            oldest_seconds: meter
                .f64_gauge("tidemark.outbox.oldest.age")
                .with_unit("s")
                .with_description("How long the oldest due entry of a slot has waited")
                .build(),
        };
        instruments.begin_at_zero();
        instruments
    }
}

impl Instruments {
    /// What hardly ever happens is shown from the start: the first time would otherwise be no increase to Prometheus.
    fn begin_at_zero(&self) {
        self.panics.add(0, &[]);
        for reason in [DisabledReason::Gone, DisabledReason::Failing] {
            self.disabled.add(0, &[KeyValue::new("reason", reason.as_str())]);
        }
        for percent in WARNED_AT_PERCENT {
            self.warnings.add(0, &[KeyValue::new("percent", i64::from(percent))]);
        }
    }

    pub(super) fn attempted(&self, attempt: &Attempt, trigger: Trigger) {
        let attributes = [KeyValue::new("outcome", attempt.outcome.as_str()), KeyValue::new("trigger", trigger.as_str())];
        self.attempts.add(1, &attributes);
        self.attempt_seconds.record(attempt.elapsed.as_secs_f64(), &[]);
    }

    /// An endpoint has heard of what an alert's event tells, for the first time.
    pub(super) fn alert_told(&self, event_type: &str, since_change: Duration) {
        self.alert_seconds.record(since_change.as_secs_f64(), &[KeyValue::new("type", event_type.to_owned())]);
    }

    /// A delivery came to an end; one that is tried again did not.
    pub(super) fn settled(&self, next: Next) {
        let state = match next {
            Next::Delivered => "delivered",
            Next::Exhausted => "exhausted",
            Next::Held => "held",
            Next::Cancelled => "cancelled",
            Next::Again { .. } | Next::Later { .. } => return,
        };
        self.deliveries.add(1, &[KeyValue::new("state", state)]);
    }

    /// A delivery waits for us, not for its receiver.
    pub(super) fn put_off(&self) {
        self.deliveries.add(1, &[KeyValue::new("state", "put_off")]);
    }

    pub(super) fn event(&self, fate: EventFate) {
        let fate = match fate {
            EventFate::FannedOut => "fanned_out",
            EventFate::Skipped => "skipped",
            EventFate::Held => "held",
        };
        self.events.add(1, &[KeyValue::new("outcome", fate)]);
    }

    pub(super) fn disabled(&self, reason: &'static str) {
        self.disabled.add(1, &[KeyValue::new("reason", reason)]);
    }

    pub(super) fn warned(&self, percent: u8) {
        self.warnings.add(1, &[KeyValue::new("percent", i64::from(percent))]);
    }

    pub(super) fn panicked(&self) {
        self.panics.add(1, &[]);
    }

    /// What is due in a slot; nothing once the slot is another worker's, so that sums over workers are right.
    pub(super) fn backlog(&self, slot: Slot, due: usize, oldest: Duration) {
        let slot = [KeyValue::new("slot", i64::from(slot.number()))];
        self.due.record(due as u64, &slot);
        self.oldest_seconds.record(oldest.as_secs_f64(), &slot);
    }
}
