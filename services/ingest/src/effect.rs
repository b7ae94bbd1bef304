//! What one stream record does: deltas, levels, and what of it goes to quarantine.

mod side;

use jiff::Timestamp;
use tidemark_domain::definition::TtlDelete;
use tidemark_domain::delta::Deltas;
use tidemark_domain::level::Levels;
use tidemark_domain::{Bucket, Level, LevelKey, Running, SourceName, bucket};
use tidemark_store::{Provenance, QuarantineWrite};
use tidemark_streams::Record;

use crate::stock::Undecidable;
use crate::zones::Zones;
use side::{Reasons, Side};

/// What one record does to rows.
#[derive(Debug, Clone, Default)]
pub struct Effect {
    pub deltas: Deltas,
    /// Of no level twice: first those that go, then those that are.
    pub levels: Vec<LevelChange>,
    /// At most one for each tenant of the record's images.
    pub quarantine: Vec<QuarantineWrite>,
}

/// What a level is from a record on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LevelChange {
    pub key: LevelKey,
    /// `None`: its item is gone, has moved to another level, or cannot be read any more.
    pub level: Option<Level>,
    /// When the item was changed.
    pub at: Timestamp,
}

/// By what the effects of one source's records are computed.
#[derive(Debug)]
pub struct Effects<'a> {
    pub running: &'a Running,
    pub source: &'a SourceName,
    /// The table the records come from.
    pub table: &'a str,
    pub zones: &'a Zones,
    pub now: Timestamp,
}

impl Effects<'_> {
    /// Computes what a record does. Pure but for the zones of tenants, which are frozen by asking.
    ///
    /// # Errors
    /// When a tenant's zone is needed and cannot be had just now. One that is stored and cannot be read is no error: the image is
    /// set aside.
    pub async fn of(&self, record: &Record) -> Result<Effect, tidemark_store::Error> {
        self.of_beside(record, &Undecidable::default()).await
    }

    /// Computes it without the levels that cannot be decided: for those the record is set aside.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub async fn of_beside(&self, record: &Record, undecidable: &Undecidable) -> Result<Effect, tidemark_store::Error> {
        let mut effect = Effect::default();
        // A source that was removed, or was moved to another table, has nothing to do with this stream any more.
        let Some(source) = self.running.sources.get(self.source).filter(|source| source.table == self.table) else {
            return Ok(effect);
        };
        let kept_from = bucket::quarters_kept_from(self.now);
        let is_kept = |bucket: Bucket| !matches!(bucket, Bucket::Quarter { start } if start < kept_from);
        let mut old = Side::of(self, &source.tenant, record.old.as_ref()).await?;
        let mut new = Side::of(self, &source.tenant, record.new.as_ref()).await?;
        // What is aged out may stay counted; in stock it is not.
        if record.ttl_delete && source.ttl_delete == TtlDelete::Keep {
            old.keep_counted();
        }
        for (key, measures) in old.contribution.rows.iter().filter(|(key, _)| is_kept(key.bucket)) {
            effect.deltas.subtract(key, measures);
        }
        for (key, measures) in new.contribution.rows.iter().filter(|(key, _)| is_kept(key.bucket)) {
            effect.deltas.add(key, measures);
        }
        old.leave_levels(undecidable);
        new.leave_levels(undecidable);
        effect.levels = level_changes(&old.levels, &new.levels, record.created_at);
        effect.quarantine = self.quarantine(&old, &new, record);
        Ok(effect)
    }

    fn quarantine(&self, old: &Side, new: &Side, record: &Record) -> Vec<QuarantineWrite> {
        let from = Provenance {
            source: self.source.clone(),
            sequence: record.sequence_number.as_str().to_owned(),
            at: record.created_at,
        };
        let set_aside = |(whose, reasons): (_, Reasons)| {
            // A tenant sees no image that was another's.
            let old = record.old.as_ref().filter(|_| old.may_be_seen_by(&whose));
            let new = record.new.as_ref().filter(|_| new.may_be_seen_by(&whose));
            QuarantineWrite::unreadable(whose, &from, reasons.code(), &reasons.to_string(), (old, new))
        };
        Reasons::by_tenant(old, new, self.source).into_iter().map(set_aside).collect()
    }
}

/// Those of the old image that the new one is not, and all of the new one: such a row need not be there yet.
fn level_changes(old: &Levels, new: &Levels, at: Timestamp) -> Vec<LevelChange> {
    let stays = |key: &LevelKey| new.levels.iter().any(|(new, _)| new == key);
    let gone = old.levels.iter().filter(|(key, _)| !stays(key)).map(|(key, _)| (key, None));
    let there = new.levels.iter().map(|(key, level)| (key, Some(level.clone())));
    gone.chain(there).map(|(key, level)| LevelChange { key: key.clone(), level, at }).collect()
}
