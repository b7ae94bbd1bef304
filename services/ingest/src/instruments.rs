//! The worker's OpenTelemetry instruments. Attributes are bounded: never a tenant, an item or a shard.

use jiff::SignedDuration;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Histogram};
use tidemark_streams::{GapReason, ShardCounts};

/// A commit takes some tens of milliseconds; one that waits for others, seconds.
const COMMIT_SECONDS: [f64; 9] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0];
/// A transaction has at most 100 items.
const COMMIT_ROWS: [f64; 7] = [1.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0];

/// Everything the worker measures about itself.
#[derive(Debug, Clone)]
pub struct Instruments {
    records: Counter<u64>,
    commits: Counter<u64>,
    commit_seconds: Histogram<f64>,
    commit_rows: Histogram<u64>,
    contended: Counter<u64>,
    alert_events: Counter<u64>,
    watermark_lag_seconds: Gauge<f64>,
    delivery_delay_seconds: Gauge<f64>,
    shards: Gauge<u64>,
    stream_shards: Gauge<u64>,
    gaps: Counter<u64>,
}

impl Default for Instruments {
    fn default() -> Self {
        let meter = opentelemetry::global::meter("tidemark-ingest");
        Self {
            records: meter.u64_counter("tidemark.ingest.records").with_description("Stream records, by outcome").build(),
            commits: meter.u64_counter("tidemark.ingest.commits").with_description("Commits, by outcome").build(),
            commit_seconds: meter
                .f64_histogram("tidemark.ingest.commit.duration")
                .with_unit("s")
                .with_description("Time from a commit's first attempt to its outcome")
                .with_boundaries(COMMIT_SECONDS.to_vec())
                .build(),
            commit_rows: meter
                .u64_histogram("tidemark.ingest.commit.rows")
                .with_description("Rows of one commit")
                .with_boundaries(COMMIT_ROWS.to_vec())
                .build(),
            contended: meter
                .u64_counter("tidemark.ingest.commit.contended")
                .with_description("Attempts that met another write or were throttled")
                .build(),
            alert_events: meter
                .u64_counter("tidemark.ingest.alert.events")
                .with_description(
                    "Events of alerts that commits wrote, by type and by whether they are held until the stream catches up",
                )
                .build(),
            watermark_lag_seconds: meter
                .f64_gauge("tidemark.ingest.watermark.lag")
                .with_unit("s")
                .with_description("How far the watermark is behind what the stream must have shown by now, by source")
                .build(),
            delivery_delay_seconds: meter
                .f64_gauge("tidemark.ingest.delivery.delay")
                .with_unit("s")
                .with_description("How late a source's stream is taken to show changes, by source")
                .build(),
            shards: meter.u64_gauge("tidemark.ingest.shards").with_description("Shards this worker holds").build(),
            stream_shards: meter
                .u64_gauge("tidemark.ingest.stream.shards")
                .with_description("Shards of a source's streams, by state; told by the worker that lists them, 0 by the others")
                .build(),
            gaps: meter
                .u64_counter("tidemark.ingest.gaps")
                .with_description("Gaps recorded: history that was lost, by reason")
                .build(),
        }
    }
}

impl Instruments {
    /// A batch was committed.
    pub fn committed(&self, took: std::time::Duration, rows: usize, records: usize, quarantined: usize) {
        self.commits.add(1, &[KeyValue::new("outcome", "committed")]);
        self.commit_seconds.record(took.as_secs_f64(), &[]);
        self.commit_rows.record(rows as u64, &[]);
        self.records.add((records - quarantined) as u64, &[KeyValue::new("outcome", "applied")]);
        self.records.add(quarantined as u64, &[KeyValue::new("outcome", "quarantined")]);
    }

    /// A batch was given up, to be computed or read again.
    pub fn abandoned(&self, why: &'static str) {
        self.commits.add(1, &[KeyValue::new("outcome", why)]);
    }

    pub fn contended(&self) {
        self.contended.add(1, &[]);
    }

    /// An event of an alert was written.
    pub fn alert_event(&self, event_type: &str, is_held: bool) {
        let event_type = KeyValue::new("type", event_type.to_owned());
        self.alert_events.add(1, &[event_type, KeyValue::new("held", is_held)]);
    }

    pub fn watermark_lag(&self, source: &str, lag: SignedDuration) {
        self.watermark_lag_seconds.record(lag.as_secs_f64(), &[KeyValue::new("source", source.to_owned())]);
    }

    /// How late a source's stream is taken to show changes.
    pub fn delivery_delay(&self, source: &str, delay: SignedDuration) {
        self.delivery_delay_seconds.record(delay.as_secs_f64(), &[KeyValue::new("source", source.to_owned())]);
    }

    pub fn shards_held(&self, count: usize) {
        self.shards.record(count as u64, &[]);
    }

    /// The shards of a source that this worker speaks for; none of them once another does, so that sums over workers are right.
    pub fn stream_shards(&self, source: &str, counts: ShardCounts) {
        for (state, count) in counts.by_state() {
            self.stream_shards.record(count as u64, &[KeyValue::new("source", source.to_owned()), KeyValue::new("state", state)]);
        }
    }

    /// A gap was recorded.
    pub fn gap(&self, source: &str, reason: GapReason) {
        self.gaps.add(1, &[KeyValue::new("source", source.to_owned()), KeyValue::new("reason", reason.as_str())]);
    }
}
