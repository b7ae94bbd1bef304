//! What one stream record does: deltas, levels, and what of it goes to quarantine.

use std::panic::{AssertUnwindSafe, catch_unwind};

use jiff::Timestamp;
use tidemark_domain::contribution::{self, Contribution, Unreadable};
use tidemark_domain::definition::{TenantRule, TtlDelete};
use tidemark_domain::delta::Deltas;
use tidemark_domain::level::{self, Levels};
use tidemark_domain::{Bucket, Image, Level, LevelKey, Running, SourceName, TenantId, bucket};
use tidemark_store::{Provenance, QuarantineWrite, Whose};
use tidemark_streams::Record;

use crate::zones::Zones;

/// What one record does to rows.
#[derive(Debug, Clone, Default)]
pub struct Effect {
    pub deltas: Deltas,
    /// Of no level twice: first those that go, then those that are.
    pub levels: Vec<LevelChange>,
    pub quarantine: Option<QuarantineWrite>,
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

/// One side of a change: whose image it is, what it contributes, and which levels it is.
#[derive(Default)]
struct Side {
    /// `None`: there is no image.
    whose: Option<Result<TenantId, Unreadable>>,
    contribution: Contribution,
    levels: Levels,
}

impl Effects<'_> {
    /// Computes what a record does. Pure but for the zones of tenants, which are frozen by asking.
    ///
    /// # Errors
    /// When a tenant's zone is needed and cannot be had.
    pub async fn of(&self, record: &Record) -> Result<Effect, tidemark_store::Error> {
        let mut effect = Effect::default();
        // A source that was removed, or was moved to another table, has nothing to do with this stream any more.
        let Some(source) = self.running.sources.get(self.source).filter(|source| source.table == self.table) else {
            return Ok(effect);
        };
        let kept_from = bucket::quarters_kept_from(self.now);
        let is_kept = |bucket: Bucket| !matches!(bucket, Bucket::Quarter { start } if start < kept_from);
        let (old, new) = (self.side(&source.tenant, &record.old).await?, self.side(&source.tenant, &record.new).await?);
        // What is aged out may stay counted; in stock it is not.
        if !(record.ttl_delete && source.ttl_delete == TtlDelete::Keep) {
            for (key, measures) in old.contribution.rows.iter().filter(|(key, _)| is_kept(key.bucket)) {
                effect.deltas.subtract(key, measures);
            }
        }
        for (key, measures) in new.contribution.rows.iter().filter(|(key, _)| is_kept(key.bucket)) {
            effect.deltas.add(key, measures);
        }
        effect.levels = level_changes(&old.levels, &new.levels, record.created_at);
        effect.quarantine = self.quarantine(new, record, old.whose);
        Ok(effect)
    }

    async fn side(&self, rule: &TenantRule, image: &Option<Image>) -> Result<Side, tidemark_store::Error> {
        let Some(image) = image else { return Ok(Side::default()) };
        let whose = contribution::tenant_of(rule, image);
        let (contribution, levels) = match &whose {
            Ok(tenant) => {
                let zone = self.zones.of(tenant).await?;
                let of_image = || {
                    let contribution = contribution::of_image(self.running, self.source, image, tenant, &zone);
                    (contribution, level::of_image(self.running, self.source, image, tenant))
                };
                // A defect that one image brings to light must not end the worker, nor the next one that meets the record.
                catch_unwind(AssertUnwindSafe(of_image)).unwrap_or_else(|_| {
                    let contribution = Contribution { rows: Vec::new(), unreadable: vec![Unreadable::Internal] };
                    (contribution, Levels::default())
                })
            }
            Err(_) => Default::default(),
        };
        Ok(Side { whose: Some(whose), contribution, levels })
    }

    fn quarantine(
        &self,
        side: Side,
        record: &Record,
        old_whose: Option<Result<TenantId, Unreadable>>,
    ) -> Option<QuarantineWrite> {
        // A tenant sees no image that was another's: the old one is kept only where it is the new one's.
        let (whose, reasons, is_same) = match side.whose? {
            Ok(tenant) => {
                let is_same = matches!(old_whose, Some(Ok(old)) if old == tenant);
                let reasons = [side.contribution.unreadable, side.levels.unreadable].concat();
                (Whose::Tenant(tenant), reasons, is_same)
            }
            Err(unreadable) => (Whose::Source(self.source.clone()), vec![unreadable], true),
        };
        let code = reasons.first()?.code();
        let reason = reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let from = Provenance {
            source: self.source.clone(),
            sequence: record.sequence_number.as_str().to_owned(),
            at: record.created_at,
        };
        let old = record.old.as_ref().filter(|_| is_same);
        Some(QuarantineWrite::unreadable(whose, &from, code, &reason, (old, record.new.as_ref())))
    }
}

/// Those of the old image that the new one is not, and all of the new one: such a row need not be there yet.
fn level_changes(old: &Levels, new: &Levels, at: Timestamp) -> Vec<LevelChange> {
    let stays = |key: &LevelKey| new.levels.iter().any(|(new, _)| new == key);
    let gone = old.levels.iter().filter(|(key, _)| !stays(key)).map(|(key, _)| (key, None));
    let there = new.levels.iter().map(|(key, level)| (key, Some(level.clone())));
    gone.chain(there).map(|(key, level)| LevelChange { key: key.clone(), level, at }).collect()
}
