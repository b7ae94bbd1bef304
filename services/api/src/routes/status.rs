//! `GET /v1/status`: how far each source is included, and everything that keeps numbers from being exact.

use axum::Json;
use axum::extract::{RawQuery, State};
use futures::TryFutureExt;
use futures::future::try_join_all;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tidemark_domain::definition::Source;
use tidemark_domain::{Running, SourceName, Zone};
use tidemark_store::QuarantineCount;
use tidemark_streams::{Gap, StreamStatus};
use utoipa::ToSchema;

use crate::auth::{Caller, scope};
use crate::freshness::{Freshness, Reason};
use crate::params::Params;
use crate::problem::ApiError;
use crate::sources;
use crate::state::{ApiState, may_hold};

/// Most gaps that are shown of one source.
const GAPS_MAX: usize = 100;

/// The sources of this tenant's numbers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "data": [{
        "source": "orders", "watermark": "2026-03-30T09:14:07.412Z", "lag_ms": 1800, "status": "live", "exact": true,
        "reasons": [], "descriptions": [], "delivery_delay_ms": 2000, "clock_skew_ms": 0, "shards": {"held": 4, "free": 0, "waiting": 0, "done": 12, "lost": 0, "workers": 2},
        "gap_count": 0, "gaps": [], "quarantined": 0
    }]
}))]
pub(crate) struct StatusReport {
    pub data: Vec<SourceStatus>,
}

/// One source.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "source": "orders", "watermark": "2026-03-30T09:14:07.412Z", "lag_ms": 1800, "status": "gap",
    "exact": false, "reasons": ["gap"],
    "descriptions": [{"reason": "gap", "detail": "parts of the stream that were lost before they were read: 1; see `gaps`"}],
    "delivery_delay_ms": 2000, "clock_skew_ms": 0, "shards": {"held": 4, "free": 0, "waiting": 1, "done": 12, "lost": 0, "workers": 2}, "gap_count": 1,
    "gaps": [{"shard": "shardId-000001", "after": "4700000000001", "reason": "trimmed", "detected_at": "2026-03-29T01:02:03Z"}],
    "quarantined": 3
}))]
pub(crate) struct SourceStatus {
    #[schema(value_type = String)]
    pub source: SourceName,
    #[serde(flatten)]
    pub freshness: Freshness,
    /// What the reasons mean here.
    pub descriptions: Vec<Description>,
    /// How late the source's stream is taken to show changes, in milliseconds, as learnt from its records: the watermark of an idle source
    /// lags by as much. Null before a worker ran.
    #[schema(required, minimum = 0)]
    pub delivery_delay_ms: Option<i64>,
    /// How far the clock of the worker that is most wrong is ahead of DynamoDB's, in milliseconds; negative: behind.
    pub clock_skew_ms: i64,
    /// The shards of the source's stream.
    pub shards: Shards,
    /// How many parts of the source's stream were skipped, ever.
    pub gap_count: usize,
    /// The last of them, the newest first; 100 at most.
    #[schema(max_items = 100)]
    pub gaps: Vec<SkippedPart>,
    /// This tenant's records that could not be counted, ever; the last 30 days' are under `/v1/quarantine`.
    pub quarantined: u64,
}

/// How many shards of a stream are in which state. Tenants share streams and workers, so nobody's name is told: operators
/// have `tidemark status`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Shards {
    /// Read by a worker.
    pub held: usize,
    /// Nobody reads it, though somebody could.
    pub free: usize,
    /// Not to be read before another is read to its end.
    pub waiting: usize,
    /// Closed, and everything in it is counted.
    pub done: usize,
    /// It went away before its end was counted.
    pub lost: usize,
    /// How many workers share those held.
    pub workers: usize,
}

/// What a reason means for this source.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Description {
    pub reason: Reason,
    pub detail: String,
}

/// A part of a stream that was gone before it could be read.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SkippedPart {
    pub shard: String,
    /// The position in the shard after which records are missing.
    pub after: String,
    pub reason: String,
    #[schema(value_type = String, format = DateTime)]
    pub detected_at: Timestamp,
}

/// Watermark, lag and exactness of every source.
#[utoipa::path(
    get, path = "/v1/status", operation_id = "get_status", tag = "status",
    responses((status = 200, description = "Every source of this tenant's numbers.", body = StatusReport), ApiError),
)]
pub(crate) async fn get_status(
    caller: Caller<scope::MetricsRead>,
    State(state): State<ApiState>,
    RawQuery(query): RawQuery,
) -> Result<Json<StatusReport>, ApiError> {
    Params::parse(query.as_deref()).finish(&[], || ())?;
    let running = state.running();
    let counts = state.store.quarantine_counts(&caller.tenant).map_err(ApiError::of_store);
    let (counts, moved) = futures::try_join!(counts, state.zones.move_of(&caller.tenant))?;
    let sources = running.sources.iter().filter(|(_, source)| may_hold(source, &caller.tenant));
    let statuses = sources.map(|(name, source)| {
        let quarantined = counts.get(name).copied().unwrap_or_default();
        let moved = moved.as_ref().and_then(|moved| moved_days(&running, name, moved));
        let limitations = Limitations { later: later_definitions(&running, name), moved };
        status_of(&state, (name, source), limitations, quarantined)
    });
    Ok(Json(StatusReport { data: try_join_all(statuses).await? }))
}

/// What keeps the metrics of a source from being exact, in words.
struct Limitations {
    /// What began later than the deployment, each with its time.
    later: Vec<String>,
    /// Which metrics have days that moved, and what to do; `None`: none has.
    moved: Option<String>,
}

async fn status_of(
    state: &ApiState,
    (name, source): (&SourceName, &Source),
    limitations: Limitations,
    quarantined: QuarantineCount,
) -> Result<SourceStatus, ApiError> {
    let known = sources::status(&state.streams, source).await?;
    let reading = sources::reading_of(known.as_ref().map(|known| known.watermark));
    let delay = known.as_ref().and_then(|known| known.watermark.delay);
    let shards = known.as_ref().map(Shards::of).unwrap_or_default();
    let mut gaps = known.map(|known| known.gaps).unwrap_or_default();
    gaps.sort_by_key(|gap| std::cmp::Reverse(gap.detected_at));
    let freshness = Freshness::of(&reading, state.present()).because(Reason::Definitions, !limitations.later.is_empty());
    let freshness =
        freshness.because(Reason::BrokenRow, quarantined.is_missed()).because(Reason::Zones, limitations.moved.is_some());
    let describe =
        |reason: &Reason| Description { reason: *reason, detail: detail_of(*reason, &freshness, gaps.len(), &limitations) };
    let descriptions = freshness.reasons.iter().map(describe).collect();
    let ms = |span: SignedDuration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    Ok(SourceStatus {
        source: name.clone(),
        freshness,
        descriptions,
        delivery_delay_ms: delay.map(ms),
        clock_skew_ms: ms(reading.skew),
        shards,
        gap_count: gaps.len(),
        gaps: gaps.iter().take(GAPS_MAX).map(SkippedPart::of).collect(),
        quarantined: quarantined.records,
    })
}

impl Shards {
    fn of(known: &StreamStatus) -> Self {
        let tidemark_streams::ShardCounts { held, free, waiting, done, lost } = known.counts;
        Self { held, free, waiting, done, lost, workers: known.owners() }
    }
}

impl SkippedPart {
    fn of(gap: &Gap) -> Self {
        Self {
            shard: gap.shard.to_string(),
            after: gap.position.to_string(),
            reason: gap.reason.as_str().to_owned(),
            detected_at: gap.detected_at,
        }
    }
}

fn detail_of(reason: Reason, freshness: &Freshness, gaps: usize, limitations: &Limitations) -> String {
    match reason {
        Reason::History if freshness.watermark.is_none() => {
            "no worker has read the table's stream yet, or not far enough to know what is counted".to_owned()
        }
        Reason::History => {
            "what the table held before its stream was first read is not counted; changes since then are".to_owned()
        }
        Reason::Clock => {
            "the stored watermark lies in the future: a worker of an older version published it while its clock was ahead; \
             it is replaced by the next one that a worker publishes"
                .to_owned()
        }
        Reason::Gap => format!("parts of the stream that were lost before they were read: {gaps}; see `gaps`"),
        Reason::Definitions => {
            format!("defined later than the deployment, and counted from then on: {}", limitations.later.join(", "))
        }
        Reason::BrokenRow => {
            "changes did not fit into 38 digits, or could not be counted by what is stored for the tenant; see `/v1/quarantine`"
                .to_owned()
        }
        Reason::Zones => limitations.moved.clone().unwrap_or_default(),
    }
}

/// What of a source's metrics began later than the deployment, each with its time.
fn later_definitions(running: &Running, source: &SourceName) -> Vec<String> {
    let mut later = Vec::new();
    for (name, metric) in running.metrics.iter().filter(|(_, metric)| metric.definition.source == *source) {
        later.extend(metric.since.map(|since| format!("metric {name} (since {since})")));
        later.extend(metric.measures_since.iter().map(|(measure, since)| format!("measure {name}.{measure} (since {since})")));
        later.extend(metric.sets_since.iter().map(|(set, since)| format!("grouping {name}.{set} (since {since})")));
    }
    later
}

/// Which metrics of a source began before days of the tenant's zone moved, and what to do about it.
fn moved_days(running: &Running, source: &SourceName, (zone, moved_at): &(Zone, Timestamp)) -> Option<String> {
    let metrics = running.metrics.iter().filter(|(_, metric)| metric.definition.source == *source);
    let metrics = metrics.filter(|(_, metric)| metric.began_before(*moved_at)).map(|(name, _)| name.as_str());
    let metrics: Vec<&str> = metrics.collect();
    let detail = || {
        format!(
            "on {moved_at} a newer time-zone database was found to change days of {zone}: what was counted before may be on another day \
             than it would be now, in {}; to count from now on by the new days, an operator starts such a metric again with `tidemark \
             definitions accept METRIC --from-now`",
            metrics.join(", ")
        )
    };
    (!metrics.is_empty()).then(detail)
}
