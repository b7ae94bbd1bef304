//! What one stream record does: deltas, and what of it goes to quarantine.

use jiff::Timestamp;
use tidemark_domain::contribution::{self, Contribution, Unreadable};
use tidemark_domain::definition::{Source, TtlDelete};
use tidemark_domain::delta::Deltas;
use tidemark_domain::{Bucket, Image, Running, SourceName, bucket};
use tidemark_store::{Batch, QuarantineWrite, Whose};
use tidemark_streams::Record;

use crate::zones::Zones;

/// What one record does to rows.
#[derive(Debug, Clone, Default)]
pub struct Effect {
    pub deltas: Deltas,
    pub quarantine: Option<QuarantineWrite>,
}

/// One side of a change: whose image it is and what it contributes.
struct Side {
    whose: Result<tidemark_domain::TenantId, Unreadable>,
    contribution: Contribution,
}

impl Effect {
    /// Computes what a record of `source` does under the running definitions.
    ///
    /// # Errors
    /// When a tenant's zone is needed and cannot be had.
    pub async fn of(
        running: &Running,
        source: &SourceName,
        record: &Record,
        zones: &Zones,
        now: Timestamp,
    ) -> Result<Self, tidemark_store::Error> {
        let Some(table) = running.sources.get(source) else { return Ok(Self::default()) };
        if record.ttl_delete && table.ttl_delete == TtlDelete::Keep {
            return Ok(Self::default());
        }
        let mut deltas = Deltas::default();
        let kept_from = bucket::quarters_kept_from(now);
        let is_kept = |bucket: Bucket| !matches!(bucket, Bucket::Quarter { start } if start < kept_from);
        if let Some(old) = &record.old {
            let side = Side::of(running, (source, table), old, zones).await?;
            for (key, measures) in side.contribution.rows.iter().filter(|(key, _)| is_kept(key.bucket)) {
                deltas.subtract(key, measures);
            }
        }
        let mut quarantine = None;
        if let Some(new) = &record.new {
            let side = Side::of(running, (source, table), new, zones).await?;
            for (key, measures) in side.contribution.rows.iter().filter(|(key, _)| is_kept(key.bucket)) {
                deltas.add(key, measures);
            }
            quarantine = side.quarantine(source, record);
        }
        Ok(Self { deltas, quarantine })
    }
}

impl Side {
    async fn of(
        running: &Running,
        (name, source): (&SourceName, &Source),
        image: &Image,
        zones: &Zones,
    ) -> Result<Self, tidemark_store::Error> {
        let whose = contribution::tenant_of(&source.tenant, image);
        let contribution = match &whose {
            Ok(tenant) => contribution::of_image(running, name, image, tenant, &zones.of(tenant).await?),
            Err(_) => Contribution::default(),
        };
        Ok(Self { whose, contribution })
    }

    fn quarantine(self, source: &SourceName, record: &Record) -> Option<QuarantineWrite> {
        let (whose, reasons) = match self.whose {
            Ok(tenant) => (Whose::Tenant(tenant), self.contribution.unreadable),
            Err(unreadable) => (Whose::Source(source.clone()), vec![unreadable]),
        };
        let code = reasons.first()?.code();
        let reason = reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let batch = Batch { source: source.clone(), sequence: record.sequence_number.as_str().to_owned(), at: record.created_at };
        Some(QuarantineWrite::unreadable(whose, &batch, code, reason, (record.old.as_ref(), record.new.as_ref())))
    }
}
