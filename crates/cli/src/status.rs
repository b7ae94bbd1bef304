//! `tidemark status`.

use jiff::Timestamp;
use serde_json::{Value, json};
use tidemark_domain::definition::Source;
use tidemark_domain::{Running, SourceName};
use tidemark_runtime::clock::SkewWatch;
use tidemark_runtime::process::Failure;
use tidemark_store::{ConcernedPage, QuarantineCount};
use tidemark_streams::{ShardState, StreamStatus, StreamWatermark};

use crate::command::Status;
use crate::connection::Connection;
use crate::output::{self, say};

/// Most tenants of a source's quarantined records that are counted, for each is a read.
const TENANTS_MAX: usize = 100;

/// One source and what is known of its stream.
struct SourceStatus {
    name: SourceName,
    table: String,
    /// `None`: no worker has ever read it.
    stream: Option<StreamStatus>,
    /// Whether a part of its metrics counts only from some time after the deployment.
    began_later: bool,
    /// The zones of which days moved after one of its metrics began, each with when they did.
    moved: Vec<(String, Timestamp)>,
    quarantined: QuarantineCount,
    /// Whose they are, as far as a tenant could be read.
    concerned: ConcernedPage,
}

pub(crate) async fn run(options: Status) -> Result<(), Failure> {
    let connection = Connection::open().await?;
    let sources = gather(&connection).await?;
    // The tables were just read, so DynamoDB's time is known.
    let now = connection.streams.now_or(tidemark_runtime::clock::now());
    if options.json {
        output::json(&json!({ "sources": sources.iter().map(|source| source.in_json(now)).collect::<Vec<_>>() }));
    } else {
        for source in &sources {
            source.print(now);
        }
    }
    Ok(())
}

async fn gather(connection: &Connection) -> Result<Vec<SourceStatus>, Failure> {
    let running = connection.running().await?;
    let counts = connection.store.quarantine_counts_of_sources().await?;
    let moved_zones = connection.store.moved_zones().await?;
    let mut sources = Vec::new();
    for (name, Source { table, .. }) in &running.sources {
        let stream = connection.streams.table_status(table).await?;
        let quarantined = counts.get(name).copied().unwrap_or_default();
        let concerned = match quarantined.records {
            0 => ConcernedPage::default(),
            _ => connection.store.concerned(name, TENANTS_MAX).await?,
        };
        let moved = moved_after(&running, name, &moved_zones);
        let (name, table, began_later) = (name.clone(), table.clone(), began_later(&running, name));
        sources.push(SourceStatus { name, table, stream, began_later, moved, quarantined, concerned });
    }
    Ok(sources)
}

/// Whether a metric of a source, a measure or a grouping was defined later than the deployment.
fn began_later(running: &Running, source: &SourceName) -> bool {
    let mut metrics = running.metrics.values().filter(|metric| metric.definition.source == *source);
    metrics.any(|metric| metric.since.is_some() || !metric.measures_since.is_empty() || !metric.sets_since.is_empty())
}

/// The zones of which days moved after a metric of a source began.
fn moved_after(running: &Running, source: &SourceName, zones: &[(String, Timestamp)]) -> Vec<(String, Timestamp)> {
    let metrics = || running.metrics.values().filter(|metric| metric.definition.source == *source);
    let concerns = |moved_at: Timestamp| metrics().any(|metric| metric.began_before(moved_at));
    zones.iter().filter(|(_, moved_at)| concerns(*moved_at)).cloned().collect()
}

impl SourceStatus {
    /// One that lies in the future was never true. Our time may be a second less than DynamoDB's.
    fn watermark(&self, now: Timestamp) -> Option<Timestamp> {
        let stored = self.stream.as_ref().and_then(|stream| stream.watermark.watermark);
        stored.filter(|watermark| *watermark <= now + SkewWatch::SKEW_MAX)
    }

    fn lag_ms(&self, now: Timestamp) -> Option<i64> {
        self.watermark(now).map(|watermark| (now.as_millisecond() - watermark.as_millisecond()).max(0))
    }

    /// Why not every number of the source is exact, in the API's words: while nobody knows what is included, nothing of the past is. The
    /// metrics and tenants concerned are not told apart; `/v1/status` has the reasons of one tenant's own numbers.
    fn reasons(&self, now: Timestamp) -> Vec<&'static str> {
        let (mut history, mut gap) = (true, false);
        if let Some(StreamStatus { watermark: StreamWatermark { watermark, exact, history_complete, .. }, .. }) = &self.stream {
            (history, gap) = (watermark.is_none() || !history_complete, !exact);
        }
        let missed = self.quarantined.is_missed();
        let stored = self.stream.as_ref().and_then(|stream| stream.watermark.watermark);
        let is_future = stored.is_some() && self.watermark(now).is_none();
        let moved = !self.moved.is_empty();
        let reasons = [
            ("history", history),
            ("gap", gap),
            ("definitions", self.began_later),
            ("broken_row", missed),
            ("clock", is_future),
            ("zones", moved),
        ];
        reasons.into_iter().filter(|(_, stands)| *stands).map(|(reason, _)| reason).collect()
    }

    fn print(&self, now: Timestamp) {
        let Self { name, table, .. } = self;
        say!("source {name} (table {table})");
        let Some(stream) = &self.stream else {
            say!("  never read: is tidemark-ingest running?");
            return;
        };
        match (self.watermark(now), self.lag_ms(now)) {
            (Some(watermark), Some(lag)) => say!("  watermark    {watermark} (lag {:.1} s)", lag as f64 / 1000.0),
            _ => say!("  watermark    none yet"),
        }
        let StreamWatermark { delay, skew, .. } = stream.watermark;
        if let Some(delay) = delay {
            say!("  delay        the stream shows changes within {:.1} s", delay.as_secs_f64());
        }
        if skew.abs() >= SkewWatch::SKEW_MAX {
            let way = if skew.is_negative() { "behind" } else { "ahead of" };
            say!("  clock        that of a worker is {:.1} s {way} DynamoDB's: synchronise it", skew.abs().as_secs_f64());
        }
        let history = match (self.watermark(now), stream.watermark.history_complete) {
            (None, _) => "not known yet",
            (Some(_), true) => "complete",
            (Some(_), false) => "incomplete: net changes since the start",
        };
        say!("  history      {history}");
        say!("  gaps         {}", stream.gaps.len());
        say!("  quarantined  {}", self.quarantined());
        for gap in &stream.gaps {
            say!("    gap in {} after {}: {} ({})", gap.shard, gap.position, gap.reason.as_str(), gap.detected_at);
        }
        for (zone, moved_at) in &self.moved {
            say!(
                "  days moved   {zone}, by a newer time-zone database, {moved_at}: `tidemark definitions accept METRIC --from-now`"
            );
        }
        let counts = stream.counts.by_state().into_iter().filter(|(_, count)| *count > 0);
        say!("  shards       {}", counts.map(|(state, count)| format!("{count} {state}")).collect::<Vec<_>>().join(", "));
        let unfinished: Vec<_> = stream.shards.iter().filter(|shard| shard.state == ShardState::Active).collect();
        let row = |shard: &tidemark_streams::ShardStatus| {
            let owner = shard.owner.as_ref().map_or("nobody", |owner| owner.as_str());
            vec![format!("    {}", shard.shard), owner.to_owned(), shard.position.to_string()]
        };
        if !unfinished.is_empty() {
            output::table(&["    shard", "owner", "position"], &unfinished.into_iter().map(row).collect::<Vec<_>>());
        }
    }

    /// How many records, whose they are, and what to do about them.
    fn quarantined(&self) -> String {
        let QuarantineCount { records, without_tenant, .. } = self.quarantined;
        if records == 0 {
            return "0".to_owned();
        }
        let tenants = output::counted(self.concerned.tenants.len(), "tenant");
        let of_tenants = match (self.concerned.tenants.len(), self.concerned.more) {
            (0, _) => None,
            (_, false) => Some(format!("of {tenants}")),
            (_, true) => Some(format!("of more than {tenants}")),
        };
        let of_nobody = (without_tenant > 0).then(|| format!("{without_tenant} whose tenant cannot be read"));
        let whose: Vec<String> = of_tenants.into_iter().chain(of_nobody).collect();
        format!("{records} ({}): see `tidemark quarantine list`", whose.join("; "))
    }

    fn in_json(&self, now: Timestamp) -> Value {
        let stream = self.stream.as_ref();
        let shards = |stream: &StreamStatus| -> Vec<Value> {
            let shard = |shard: &tidemark_streams::ShardStatus| {
                json!({
                    "shard": shard.shard.as_str(), "state": shard.state.as_str(),
                    "owner": shard.owner.as_ref().map(|owner| owner.as_str()), "position": shard.position.to_string(),
                })
            };
            stream.shards.iter().map(shard).collect()
        };
        let gaps = |stream: &StreamStatus| -> Vec<Value> {
            let gap = |gap: &tidemark_streams::Gap| {
                json!({
                    "shard": gap.shard.as_str(), "after": gap.position.to_string(),
                    "reason": gap.reason.as_str(), "detected_at": gap.detected_at.to_string(),
                })
            };
            stream.gaps.iter().map(gap).collect()
        };
        let reasons = self.reasons(now);
        json!({
            "source": self.name, "table": self.table,
            "watermark": self.watermark(now).map(|watermark| watermark.to_string()), "lag_ms": self.lag_ms(now),
            "delivery_delay_ms": stream.and_then(|stream| stream.watermark.delay).map(|delay| delay.as_millis() as i64),
            "clock_skew_ms": stream.map(|stream| stream.watermark.skew.as_millis() as i64),
            "exact": reasons.is_empty(), "reasons": reasons,
            "history_complete": stream.map(|stream| stream.watermark.history_complete),
            "gaps": stream.map(gaps).unwrap_or_default(), "shards": stream.map(shards).unwrap_or_default(),
            "quarantined": self.quarantined.records, "quarantined_without_tenant": self.quarantined.without_tenant,
            "quarantined_tenants": { "count": self.concerned.tenants.len(), "more": self.concerned.more },
        })
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use tidemark_domain::TenantId;

    use super::*;

    fn quarantined(records: u64, without_tenant: u64, tenants: usize, more: bool) -> String {
        let count = QuarantineCount { records, without_tenant, ..QuarantineCount::default() };
        let tenant = |index| (TenantId::new(&format!("t{index}")).expect("an id"), QuarantineCount::default());
        let concerned = ConcernedPage { tenants: (0..tenants).map(tenant).collect(), more };
        let name = SourceName::new("orders").expect("a name");
        let (table, stream, moved) = ("Orders".to_owned(), None, Vec::new());
        SourceStatus { name, table, stream, began_later: false, moved, quarantined: count, concerned }.quarantined()
    }

    #[test]
    fn nothing_is_said_to_be_exact_without_a_watermark_that_can_be_true_or_while_a_reason_stands() {
        let read = |watermark: Option<StreamWatermark>| {
            let of = |watermark| StreamStatus { watermark, shards: Vec::new(), counts: Default::default(), gaps: Vec::new() };
            let (name, stream) = (SourceName::new("orders").expect("a name"), watermark.map(of));
            let (quarantined, concerned) = (QuarantineCount::default(), ConcernedPage::default());
            SourceStatus {
                name,
                table: "Orders".to_owned(),
                stream,
                began_later: false,
                moved: Vec::new(),
                quarantined,
                concerned,
            }
        };
        let now = tidemark_runtime::clock::now();
        let (delay, skew) = (None, SignedDuration::ZERO);
        let whole =
            StreamWatermark { watermark: Some(now), published_at: Some(now), delay, skew, exact: true, history_complete: true };
        let told = |source: SourceStatus| {
            let told = source.in_json(now);
            assert_eq!(told["exact"], told["reasons"] == json!([]), "{told}");
            told["reasons"].clone()
        };
        for (watermark, reasons) in [
            (Some(whole), json!([])),
            (Some(StreamWatermark { exact: false, ..whole }), json!(["gap"])),
            (Some(StreamWatermark { history_complete: false, ..whole }), json!(["history"])),
            (Some(StreamWatermark { watermark: None, published_at: None, ..whole }), json!(["history"])),
            (None, json!(["history"])),
        ] {
            assert_eq!(told(read(watermark)), reasons, "{watermark:?}");
        }
        let missed = QuarantineCount { records: 1, overflows: 1, ..QuarantineCount::default() };
        let moved = vec![("Europe/Berlin".to_owned(), now)];
        let of_metrics = SourceStatus { began_later: true, moved, quarantined: missed, ..read(Some(whole)) };
        assert_eq!(told(of_metrics), json!(["definitions", "broken_row", "zones"]));
        let ahead = |ms| StreamWatermark { watermark: Some(now + SignedDuration::from_millis(ms)), ..whole };
        assert_eq!(read(Some(ahead(900))).in_json(now)["lag_ms"], 0);
        let lie = read(Some(ahead(1_100))).in_json(now);
        assert_eq!((&lie["watermark"], &lie["reasons"]), (&Value::Null, &json!(["clock"])));
    }

    #[test]
    fn quarantined_records_are_told_with_whose_they_are_as_far_as_it_is_known() {
        assert_eq!(quarantined(0, 0, 0, false), "0");
        assert_eq!(quarantined(3, 3, 0, false), "3 (3 whose tenant cannot be read): see `tidemark quarantine list`");
        assert_eq!(quarantined(3, 0, 1, false), "3 (of 1 tenant): see `tidemark quarantine list`");
        let told = "900 (of more than 100 tenants; 2 whose tenant cannot be read): see `tidemark quarantine list`";
        assert_eq!(quarantined(900, 2, 100, true), told);
    }
}
