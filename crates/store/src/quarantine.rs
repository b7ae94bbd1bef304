//! The quarantine: what could not be counted, with both images and the reason, kept 30 days.

use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use tidemark_domain::{SourceName, TenantId};

use crate::error::Error;
use crate::item::{Item, Stored, key_item, s};
use crate::key::{self, Key, PK, SK};
use crate::{Store, Tenant};

mod concerned;
mod count;
mod image;
mod write;

pub use concerned::{Concerned, ConcernedPage};
pub use count::QuarantineCount;
pub use image::StoredImage;
use write::RETENTION_DAYS;
pub use write::{LEVEL_UNREADABLE, QuarantineWrite, STORED_UNREADABLE};

const AT: &str = "at";
const CODE: &str = "code";
const REASON: &str = "reason";
const OLD: &str = "old";
const NEW: &str = "new";

/// Whose quarantine a record is in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whose {
    Tenant(TenantId),
    /// The tenant itself could not be read: only operators see the record.
    Source(SourceName),
}

/// A quarantined record.
#[derive(Debug, Clone, PartialEq)]
pub struct Quarantined {
    pub id: QuarantineId,
    pub source: SourceName,
    pub sequence_number: String,
    /// When the record was written to the source.
    pub at: Timestamp,
    pub code: String,
    pub reason: String,
    pub old: Option<StoredImage>,
    pub new: Option<StoredImage>,
}

/// Names a record within one quarantine: its UTC day, source and sequence number, as `qua_20261122_orders_4700…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineId {
    date: Date,
    source: SourceName,
    sequence: String,
}

/// The text is no quarantine id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a quarantine id, which looks like qua_20261122_orders_4700000000001")]
pub struct InvalidId(());

/// Which records to list.
#[derive(Debug, Clone)]
pub struct QuarantineQuery {
    /// Continue behind this record.
    pub after: Option<QuarantineId>,
    pub limit: usize,
    /// Days older than the retention before this are not asked for.
    pub now: Timestamp,
}

/// A page of records, newest day first.
#[derive(Debug, Clone)]
pub struct QuarantinePage {
    pub records: Vec<Quarantined>,
    pub more: bool,
}

impl QuarantineId {
    fn key(&self, whose: &Whose) -> Key {
        let pk = key::quarantine_partition(whose, self.date);
        Key { pk, sk: key::quarantine_sort_key(&self.source, &self.sequence) }
    }
}

impl std::fmt::Display for QuarantineId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "qua_{}_{}_{}", key::day_chunk(self.date), self.source, self.sequence)
    }
}

impl FromStr for QuarantineId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let parse = || {
            let (date, rest) = text.strip_prefix("qua_")?.split_once('_')?;
            let (source, sequence) = rest.rsplit_once('_')?;
            let digits = sequence.strip_suffix('r').unwrap_or(sequence);
            let valid = !digits.is_empty() && digits.len() <= 60 && digits.bytes().all(|c| c.is_ascii_digit());
            let date = Date::strptime("%Y%m%d", date).ok()?;
            let source = SourceName::new(source).ok()?;
            valid.then(|| Self { date, source, sequence: sequence.to_owned() })
        };
        parse().ok_or(InvalidId(()))
    }
}

impl Store {
    /// A tenant's quarantined records, newest day first.
    ///
    /// # Errors
    /// When the items cannot be read.
    pub async fn quarantined(&self, tenant: &Tenant, query: &QuarantineQuery) -> Result<QuarantinePage, Error> {
        self.quarantined_of(&Whose::Tenant(tenant.id().clone()), query).await
    }

    /// The records of a source whose tenant could not be read, for operators, or those of a tenant named by one.
    ///
    /// # Errors
    /// When the items cannot be read.
    pub async fn quarantined_of(&self, whose: &Whose, query: &QuarantineQuery) -> Result<QuarantinePage, Error> {
        // The first partition is tomorrow's: the source's clock may be ahead of ours.
        let newest = key::utc_date(query.now).tomorrow().unwrap_or(Date::MAX);
        let first = query.after.as_ref().map_or(newest, |id| id.date.min(newest));
        let last = newest.checked_sub(jiff::ToSpan::days(RETENTION_DAYS + 1)).unwrap_or(Date::MIN);
        let mut records = Vec::new();
        let mut date = first;
        while date >= last && records.len() <= query.limit {
            let after = query.after.as_ref().filter(|id| id.date == date);
            records.extend(self.quarantined_on(whose, date, after, query.limit + 1 - records.len()).await?);
            let Ok(yesterday) = date.yesterday() else { break };
            date = yesterday;
        }
        let more = records.len() > query.limit;
        records.truncate(query.limit);
        Ok(QuarantinePage { records, more })
    }

    /// One quarantined record of a tenant.
    ///
    /// # Errors
    /// When the item cannot be read.
    pub async fn quarantined_record(&self, tenant: &Tenant, id: &QuarantineId) -> Result<Option<Quarantined>, Error> {
        self.quarantined_record_of(&Whose::Tenant(tenant.id().clone()), id).await
    }

    /// One quarantined record, for operators.
    ///
    /// # Errors
    /// When the item cannot be read.
    pub async fn quarantined_record_of(&self, whose: &Whose, id: &QuarantineId) -> Result<Option<Quarantined>, Error> {
        let item = self.get(&id.key(whose)).await?;
        item.map(|item| decode(&item, id.date)).transpose()
    }

    async fn quarantined_on(
        &self,
        whose: &Whose,
        date: Date,
        after: Option<&QuarantineId>,
        limit: usize,
    ) -> Result<Vec<Quarantined>, Error> {
        let mut records = Vec::new();
        let mut start = after.map(|id| key_item(&id.key(whose)));
        // A page ends at 1 MB, which a few large images fill.
        loop {
            let query = self.client.query().table_name(&self.tables.data).scan_index_forward(false);
            let query = query
                .key_condition_expression("#pk = :pk")
                .expression_attribute_names("#pk", PK)
                .expression_attribute_values(":pk", s(key::quarantine_partition(whose, date)))
                .set_exclusive_start_key(start)
                .limit(i32::try_from(limit - records.len()).unwrap_or(i32::MAX));
            let output = query.send().await.map_err(|error| Error::from_sdk(&self.tables.data, error))?;
            for item in output.items() {
                records.push(decode(item, date)?);
            }
            start = output.last_evaluated_key;
            if start.is_none() || records.len() >= limit {
                return Ok(records);
            }
        }
    }
}

fn decode(item: &Item, date: Date) -> Result<Quarantined, Error> {
    let stored = Stored(item);
    let sk = stored.text(SK)?;
    let (source, sequence) = sk.split_once('#').ok_or_else(|| stored.corrupt(SK, "is no key of a quarantined record"))?;
    let source = SourceName::new(source).map_err(|error| stored.corrupt(SK, &error.to_string()))?;
    Ok(Quarantined {
        id: QuarantineId { date, source: source.clone(), sequence: sequence.to_owned() },
        source,
        sequence_number: sequence.strip_suffix('r').unwrap_or(sequence).to_owned(),
        at: stored.instant(AT)?.ok_or_else(|| stored.corrupt(AT, "is missing"))?,
        code: stored.text(CODE)?,
        reason: stored.text(REASON)?,
        old: StoredImage::read(OLD, &stored)?,
        new: StoredImage::read(NEW, &stored)?,
    })
}
