//! Batches: folding records into one commit, and what its outcome means for the shard.

use jiff::Timestamp;
use tidemark_domain::Running;
use tidemark_runtime::telemetry::trace;
use tidemark_store::{EventWrite, Provenance, Refused, RulesLane, Slot, Writes};
use tidemark_streams::{Advance, GapReason, Position, Record, Verdict};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::field::Empty;
use tracing::{Instrument, Span};

use super::{Ended, Halt, IDLE_ADVANCE, IDLE_RECORDS_MAX, Next, Resort, STALE_PAUSE_MAX, ShardTask, Shared};
use crate::commit::{self, Backoff, FullRows, Outcome, Step};
use crate::effect::Effects;
use crate::fold::Fold;
use crate::pending::Pending;
use crate::stock::Writing;

/// Most records of a batch with levels: what they do is kept in memory until the levels are read.
const DECIDED_MAX: usize = 1_000;

impl ShardTask {
    /// Folds the first pending records into one batch and commits it.
    pub(super) async fn commit(&mut self, pending: &mut Pending, stop: &CancellationToken) -> Result<Next, commit::Error> {
        if pending.is_empty() && !pending.closed {
            return Ok(Next::Wait);
        }
        tokio::select! {
            biased;
            () = self.shared.pause.over() => {}
            // Released shards are taken over at once; what is still committed before that is fenced like everything else.
            () = stop.cancelled() => {}
        }
        let span = tracing::info_span!(
            "process",
            otel.name = format!("process {}", self.source),
            otel.kind = "consumer",
            otel.status_code = Empty,
            error.type = Empty,
            messaging.system = "aws.dynamodb_streams",
            messaging.operation.name = "process",
            messaging.operation.type = "process",
            messaging.destination.name = self.source.as_str(),
            messaging.batch.message_count = Empty,
            tidemark.shard = self.held.shard.as_str(),
        );
        self.process(pending, stop).instrument(span.clone()).await.inspect_err(|_| failed(&span))
    }

    /// The same, within the span of the batch.
    async fn process(&mut self, pending: &mut Pending, stop: &CancellationToken) -> Result<Next, commit::Error> {
        let (running, known_for) = self.shared.definitions.known();
        if running.version < self.held.defs {
            return self.reload(self.held.defs).await;
        }
        let now = self.shared.now();
        let fold = self.fold(pending, &running, now).await?;
        Span::current().record("messaging.batch.message_count", fold.records());
        let is_all = fold.records() == pending.len();
        let ends = is_all && pending.closed;
        let may_wait = is_all && !ends && !stop.is_cancelled() && pending.len() < IDLE_RECORDS_MAX;
        let last = fold.records().checked_sub(1).and_then(|last| pending.records().get(last));
        if fold.is_harmless() && may_wait && self.advanced_at.elapsed() < IDLE_ADVANCE {
            self.harmless = pending.len();
            self.included(last);
            return Ok(Next::Wait);
        }
        let to = match last {
            _ if ends => Position::ShardEnd,
            Some(record) => Position::After(record.sequence_number.clone()),
            None => return Ok(Next::Wait),
        };
        if ends {
            self.shared.streams.link_children(&self.arn, &self.held).await?;
        }
        let lane = |metric: &_| running.metrics.get(metric).map_or(0, |metric| self.lane(metric.lanes_written(known_for)));
        // Made before what it writes: events carry its name.
        let committing = tracing::info_span!(
            "commit",
            otel.kind = "internal",
            otel.status_code = Empty,
            error.type = Empty,
            tidemark.rows = Empty,
            tidemark.outcome = Empty,
        );
        let (stream, traceparent) = (self.arn.as_str(), trace::traceparent_of(&committing));
        let writing = Writing { stream, now, alert_max_age: self.shared.alert_max_age, traceparent: traceparent.as_deref() };
        let from = self.provenance(last, now);
        let record_at = last.map(|record| record.created_at);
        let advance = self.held.advance(&to, running.version).with_times(record_at, self.watermark.value());
        let writes = match self.resort {
            Resort::Whole => fold.writes(lane, &writing),
            Resort::Diverted => fold.diverted(lane, &writing),
            Resort::SetAside => Ok(fold.set_aside(&from)),
            Resort::Skipped => return self.skip(&advance, &fold, pending).await,
        };
        let writes = writes.inspect_err(|_| failed(&committing))?;
        let remembered = self.shared.values.remember(&running, writes.rows.iter().map(|row| &row.key)).await;
        remembered.inspect_err(|_| failed(&committing))?;
        let full = if fold.records() > 1 { FullRows::Split } else { FullRows::Divert };
        let (rows, started, announced) = (writes.rows.len(), Instant::now(), Announced::of(&writes));
        committing.record("tidemark.rows", rows);
        let step = Step { advance: &advance, from: &from, full, life: &self.published };
        let outcome = self.shared.pool.commit(&step, writes).instrument(committing.clone()).await;
        let outcome = outcome.inspect_err(|_| failed(&committing))?;
        committing.record("tidemark.outcome", outcome.as_str());
        if outcome == Outcome::Decided(Verdict::Committed) {
            self.shared.instruments.committed(started.elapsed(), rows, fold.records(), fold.quarantined());
            announced.tell(&self.shared);
        }
        self.after(outcome, &advance, &fold, pending).await
    }

    /// Folds as many of the first pending records as one transaction takes.
    async fn fold(&self, pending: &Pending, running: &Running, now: Timestamp) -> Result<Fold, commit::Error> {
        let (source, table, zones) = (&self.source, self.held.stream.table(), &*self.shared.zones);
        let effects = Effects { running, source, table, zones, now };
        let has_levels = running.inventories.values().any(|inventory| inventory.source == *source);
        let records_max = if has_levels { self.records_max.min(DECIDED_MAX) } else { self.records_max };
        let (mut fold, mut taken) = (Fold::default(), Vec::new());
        for record in pending.records().iter().take(records_max) {
            let effect = match effects.of(record).await {
                Ok(effect) => effect,
                // Those before it need not wait until it can be computed; it begins the next batch.
                Err(_) if fold.records() > 0 => break,
                Err(error) => return Err(error.into()),
            };
            if !fold.take(&effect) {
                break;
            }
            if has_levels {
                taken.push(effect);
            }
        }
        if fold.stock().unread().is_empty() {
            return Ok(fold);
        }
        let stock = self.shared.stock.read(fold.stock().unread(), self.rules_lane()).await?;
        let undecidable = stock.undecidable();
        for (effect, record) in taken.iter_mut().zip(pending.records()) {
            if effect.levels.iter().any(|change| undecidable.get(&change.key).is_some()) {
                *effect = effects.of_beside(record, undecidable).await?;
            }
        }
        Ok(Fold::decided(&taken, stock))
    }

    /// Draws the consequence of a commit's outcome.
    async fn after(
        &mut self,
        outcome: Outcome,
        advance: &Advance,
        fold: &Fold,
        pending: &mut Pending,
    ) -> Result<Next, commit::Error> {
        let verdict = match outcome {
            Outcome::Decided(verdict) => verdict,
            Outcome::DecisionsStale(tenants) => {
                self.shared.instruments.abandoned("decisions_stale");
                self.shared.stock.were_stale(fold.stock(), &tenants).await;
                self.stale_backoff.wait().await;
                return Ok(Next::Again);
            }
            Outcome::Invalid(Refused::Levels(levels)) => {
                self.shared.stock.were_refused(&levels);
                self.resort = Resort::Whole;
                return Ok(Next::Again);
            }
            Outcome::Invalid(Refused::Others) => {
                self.leave_out(fold, false);
                return Ok(Next::Again);
            }
            Outcome::TooLarge | Outcome::Invalid(Refused::Unnamed) => {
                self.leave_out(fold, true);
                return Ok(Next::Again);
            }
        };
        match verdict {
            Verdict::Committed => {
                self.held = self.held.after(advance);
                self.advanced_at = Instant::now();
                // Step by step: the records that follow may be like those that did not fit.
                self.records_max = self.records_max.saturating_mul(2);
                self.resort = Resort::Whole;
                self.stale_backoff = Backoff::up_to(STALE_PAUSE_MAX);
                self.included(fold.records().checked_sub(1).and_then(|last| pending.records().get(last)));
                pending.committed(fold.records());
                self.harmless = 0;
                if *advance.to() == Position::ShardEnd {
                    return Ok(Next::Halt(Halt::Ended(Ended::Finished(self.held.clone()))));
                }
                Ok(if pending.is_empty() && !pending.closed { Next::Wait } else { Next::Again })
            }
            Verdict::NotCommitted => Ok(Next::Again),
            Verdict::LeaseLost => {
                self.shared.instruments.abandoned("lease_lost");
                Ok(Next::Halt(Halt::Ended(Ended::Lost(self.held.clone()))))
            }
            Verdict::DefinitionsBehind(version) => {
                self.shared.instruments.abandoned("definitions_behind");
                tracing::info!(shard = %self.held.shard, version, "newer definitions are running; computing the batch again");
                self.resort = Resort::Whole;
                self.reload(version).await
            }
            Verdict::Moved(Position::ShardEnd) => Ok(Next::Halt(Halt::Ended(Ended::Finished(self.held.clone())))),
            Verdict::Moved(position) => {
                self.shared.instruments.abandoned("position_moved");
                tracing::warn!(shard = %self.held.shard, %position, "the stored position is another; reading again after it");
                self.held = self.held.moved(position);
                Ok(Next::Halt(Halt::Reread))
            }
        }
    }

    /// Has the next batch be less than one that DynamoDB does not take: fewer records, in the end one without its effects; without its
    /// levels, too, if they may be what is refused.
    fn leave_out(&mut self, fold: &Fold, may_be_levels: bool) {
        self.records_max = (fold.records() / 2).max(1);
        if fold.records() > 1 {
            return;
        }
        let may_be_levels = may_be_levels && fold.stock().keys().next().is_some();
        self.resort = match self.resort {
            // It was not the rows, or not they alone.
            Resort::Diverted if may_be_levels => {
                self.shared.stock.were_refused(fold.stock().keys());
                Resort::Whole
            }
            resort => resort.next(),
        };
    }

    /// Passes over a record whose effects DynamoDB takes in no form, not even its name in quarantine: history is lost, as a gap says.
    async fn skip(&mut self, advance: &Advance, fold: &Fold, pending: &mut Pending) -> Result<Next, commit::Error> {
        let verdict = self.shared.streams.skip(advance, self.shared.now()).await?;
        if verdict == Verdict::Committed {
            let (shard, position) = (&self.held.shard, advance.to());
            tracing::error!(%shard, %position, "a record can neither be counted nor set aside: it is skipped, and a gap is recorded");
            self.shared.instruments.gap(self.source.as_str(), GapReason::Uncommittable);
        }
        self.after(Outcome::Decided(verdict), advance, fold, pending).await
    }

    /// Loads definitions at least as new as these.
    async fn reload(&self, version: u64) -> Result<Next, commit::Error> {
        self.shared.definitions.reload().await?;
        let is_there = self.shared.definitions.current().version >= version;
        if is_there { Ok(Next::Again) } else { Err(commit::Error::DefinitionsMissing(version)) }
    }

    /// The effects of all records up to `last` are visible.
    fn included(&mut self, last: Option<&Record>) {
        if let Some(last) = last {
            self.watermark.committed(last.created_at);
            self.shows_life();
        }
    }

    fn provenance(&self, last: Option<&Record>, now: Timestamp) -> Provenance {
        Provenance {
            source: self.source.clone(),
            sequence: last.map_or_else(String::new, |record| record.sequence_number.as_str().to_owned()),
            at: last.map_or(now, |record| record.created_at),
        }
    }

    /// Where the shard's commits check a tenant's rules.
    fn rules_lane(&self) -> RulesLane {
        RulesLane::of(self.held.shard.as_str())
    }

    /// The shard's lane. Any choice below `lanes` is right: lanes are added up when read.
    fn lane(&self, lanes: u16) -> u16 {
        let lanes = u32::from(lanes.max(1));
        u16::try_from(crc32fast::hash(self.held.shard.as_str().as_bytes()) % lanes).expect("less than a u16")
    }
}

/// Notes in a span that its commit was given up.
fn failed(span: &Span) {
    span.record("otel.status_code", "ERROR");
    span.record("error.type", "commit_failed");
}

/// What a commit announces, told once it is made.
struct Announced(Vec<(Slot, String, bool)>);

impl Announced {
    fn of(writes: &Writes) -> Self {
        let told = |event: &EventWrite| (Slot::of_event(&event.key), event.event_type.clone(), event.hold.is_some());
        Self(writes.decisions.events.iter().map(told).collect())
    }

    fn tell(self, shared: &Shared) {
        for (slot, event_type, is_held) in self.0 {
            shared.instruments.alert_event(&event_type, is_held);
            // The dispatcher finds held ones when it is time.
            if !is_held {
                shared.wake.slot(slot);
            }
        }
    }
}
