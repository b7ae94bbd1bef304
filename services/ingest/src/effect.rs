//! What one stream record does: deltas, and what of it goes to quarantine.

use std::panic::{AssertUnwindSafe, catch_unwind};

use jiff::Timestamp;
use tidemark_domain::contribution::{self, Contribution, Unreadable};
use tidemark_domain::definition::{TenantRule, TtlDelete};
use tidemark_domain::delta::Deltas;
use tidemark_domain::{Bucket, Image, Running, SourceName, TenantId, bucket};
use tidemark_store::{Provenance, QuarantineWrite, Whose};
use tidemark_streams::Record;

use crate::zones::Zones;

/// What one record does to rows.
#[derive(Debug, Clone, Default)]
pub struct Effect {
    pub deltas: Deltas,
    pub quarantine: Option<QuarantineWrite>,
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

/// One side of a change: whose image it is and what it contributes.
struct Side {
    whose: Result<TenantId, Unreadable>,
    contribution: Contribution,
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
        if record.ttl_delete && source.ttl_delete == TtlDelete::Keep {
            return Ok(effect);
        }
        let kept_from = bucket::quarters_kept_from(self.now);
        let is_kept = |bucket: Bucket| !matches!(bucket, Bucket::Quarter { start } if start < kept_from);
        let mut old_tenant = None;
        if let Some(old) = &record.old {
            let side = self.side(&source.tenant, old).await?;
            for (key, measures) in side.contribution.rows.iter().filter(|(key, _)| is_kept(key.bucket)) {
                effect.deltas.subtract(key, measures);
            }
            old_tenant = side.whose.ok();
        }
        if let Some(new) = &record.new {
            let side = self.side(&source.tenant, new).await?;
            for (key, measures) in side.contribution.rows.iter().filter(|(key, _)| is_kept(key.bucket)) {
                effect.deltas.add(key, measures);
            }
            effect.quarantine = self.quarantine(side, record, old_tenant.as_ref());
        }
        Ok(effect)
    }

    async fn side(&self, rule: &TenantRule, image: &Image) -> Result<Side, tidemark_store::Error> {
        let whose = contribution::tenant_of(rule, image);
        let contribution = match &whose {
            Ok(tenant) => {
                let zone = self.zones.of(tenant).await?;
                // A defect that one image brings to light must not end the worker, nor the next one that meets the record.
                let of_image = || contribution::of_image(self.running, self.source, image, tenant, &zone);
                catch_unwind(AssertUnwindSafe(of_image))
                    .unwrap_or_else(|_| Contribution { rows: Vec::new(), unreadable: vec![Unreadable::Internal] })
            }
            Err(_) => Contribution::default(),
        };
        Ok(Side { whose, contribution })
    }

    fn quarantine(&self, side: Side, record: &Record, old_tenant: Option<&TenantId>) -> Option<QuarantineWrite> {
        // A tenant sees no image that was another's: the old one is kept only where it is the new one's.
        let (whose, reasons, is_same) = match side.whose {
            Ok(tenant) => {
                let is_same = old_tenant == Some(&tenant);
                (Whose::Tenant(tenant), side.contribution.unreadable, is_same)
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
