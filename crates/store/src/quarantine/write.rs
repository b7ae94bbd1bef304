//! What a commit writes to quarantine: records that could not be read, deltas that their rows refused, and the counters of both.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::{Put, TransactWriteItem};
use jiff::Timestamp;
use tidemark_domain::{Image, SourceName, TenantId};

use super::count::{COUNTERS, QuarantineCount};
use super::image::CompressedImage;
use super::{AT, CODE, Concerned, NEW, OLD, QuarantineId, REASON, Whose};
use crate::Store;
use crate::item::{key_item, n, s};
use crate::key::{self, EXPIRES_AT};
use crate::provenance::Provenance;

/// How long a record is kept, in days.
pub(super) const RETENTION_DAYS: i64 = 30;
/// Most bytes of a reason, and of one that lists deltas: an item has at most 400 KB.
const REASON_BYTES_MAX: usize = 20_000;
const DELTAS_BYTES_MAX: usize = 350_000;
const DAY_SECONDS: i64 = 24 * 60 * 60;
/// The code of a record that holds deltas which their rows refused.
const ROW_OVERFLOW: &str = "row_overflow";
/// The code of a record that could be read, but not counted: what is stored for its tenant could not be read.
pub const STORED_UNREADABLE: &str = "stored_unreadable";
/// The code of a record that was counted, but whose levels were left as they are: what is stored of them, or of the tenant's rules, could
/// not be read.
pub const LEVEL_UNREADABLE: &str = "level_unreadable";

/// A record to be quarantined.
#[derive(Debug, Clone)]
pub struct QuarantineWrite {
    whose: Whose,
    source: SourceName,
    sequence: String,
    at: Timestamp,
    code: String,
    reason: String,
    old: Option<CompressedImage>,
    new: Option<CompressedImage>,
}

impl QuarantineWrite {
    /// A record whose new image could not be read, or what is stored for a tenant of its. Images are given only as far as they are the
    /// same tenant's.
    pub fn unreadable(
        whose: Whose,
        from: &Provenance,
        code: &str,
        reason: &str,
        images: (Option<&Image>, Option<&Image>),
    ) -> Self {
        Self {
            whose,
            source: from.source.clone(),
            sequence: from.sequence.clone(),
            at: from.at,
            code: code.to_owned(),
            reason: cut(reason, REASON_BYTES_MAX),
            old: images.0.map(CompressedImage::of),
            new: images.1.map(CompressedImage::of),
        }
    }

    /// Deltas that their rows refused.
    pub(crate) fn overflowed(tenant: TenantId, from: &Provenance, deltas: &str) -> Self {
        let reason = format!("these rows cannot take their deltas, and are marked broken; the deltas are: {deltas}");
        Self {
            whose: Whose::Tenant(tenant),
            source: from.source.clone(),
            // A record of the same sequence number may be there for its image's own sake.
            sequence: format!("{}r", from.sequence),
            at: from.at,
            code: ROW_OVERFLOW.to_owned(),
            reason: cut(&reason, DELTAS_BYTES_MAX),
            old: None,
            new: None,
        }
    }

    /// A record that could be read, and whose effects on a tenant's rows DynamoDB does not store in any form.
    pub fn refused(tenant: TenantId, from: &Provenance) -> Self {
        let reason = "DynamoDB does not store what this record changes; it is not counted. The worker's log has the cause";
        Self {
            whose: Whose::Tenant(tenant),
            source: from.source.clone(),
            // None of its deltas is there beside it.
            sequence: format!("{}r", from.sequence),
            at: from.at,
            code: STORED_UNREADABLE.to_owned(),
            reason: reason.to_owned(),
            old: None,
            new: None,
        }
    }

    /// The record without its images, for when it cannot be stored otherwise.
    pub fn without_images(self) -> Self {
        Self { old: None, new: None, ..self }
    }

    /// About how many bytes the stored record has.
    pub fn bytes(&self) -> usize {
        let images = self.old.iter().chain(&self.new).map(CompressedImage::bytes).sum::<usize>();
        500 + self.reason.len() + images
    }

    /// The counters the record is counted in: the source's, and its tenant's if it has one.
    pub(crate) fn counters(&self) -> Vec<(Whose, SourceName)> {
        let of_source = (Whose::Source(self.source.clone()), self.source.clone());
        match &self.whose {
            Whose::Source(_) => vec![of_source],
            Whose::Tenant(tenant) => vec![of_source, (Whose::Tenant(tenant.clone()), self.source.clone())],
        }
    }

    /// The tenant that the record is listed under, if it has one.
    pub(crate) fn concerned(&self) -> Option<Concerned> {
        match &self.whose {
            Whose::Source(_) => None,
            Whose::Tenant(tenant) => Some(Concerned { source: self.source.clone(), tenant: tenant.clone() }),
        }
    }

    /// What the record adds to its counters.
    fn count(&self) -> QuarantineCount {
        QuarantineCount {
            records: 1,
            overflows: u64::from(self.code == ROW_OVERFLOW),
            uncounted: u64::from(self.code == STORED_UNREADABLE),
            undecided: u64::from(self.code == LEVEL_UNREADABLE),
            without_tenant: u64::from(matches!(self.whose, Whose::Source(_))),
            last_at: Some(self.at),
        }
    }

    fn id(&self) -> QuarantineId {
        QuarantineId { date: key::utc_date(self.at), source: self.source.clone(), sequence: self.sequence.clone() }
    }

    fn put(&self, table: &str) -> Put {
        let mut item = key_item(&self.id().key(&self.whose));
        item.insert(AT.to_owned(), n(self.at.as_second()));
        item.insert(CODE.to_owned(), s(&self.code));
        item.insert(REASON.to_owned(), s(&self.reason));
        item.insert(EXPIRES_AT.to_owned(), n(self.at.as_second() + RETENTION_DAYS * DAY_SECONDS));
        for (name, image) in [(OLD, &self.old), (NEW, &self.new)] {
            if let Some(image) = image {
                image.write(name, &mut item);
            }
        }
        Put::builder().table_name(table).set_item(Some(item)).build().expect("table and item are set")
    }
}

impl Store {
    /// The puts and counters of a commit's quarantined records.
    pub(crate) fn quarantine_items(&self, records: &[&QuarantineWrite], from: &Provenance) -> Vec<TransactWriteItem> {
        let table = &self.tables.data;
        let lane = crc32fast::hash(from.sequence.as_bytes()) % COUNTERS;
        let puts = records.iter().map(|record| TransactWriteItem::builder().put(record.put(table)).build());
        let mut counters: BTreeMap<(Whose, SourceName), QuarantineCount> = BTreeMap::new();
        for record in records {
            for counter in record.counters() {
                counters.entry(counter).or_default().add(&record.count());
            }
        }
        let updates = counters.into_iter().map(|((whose, source), count)| {
            let update = count.update(table, &key::quarantine_count(&whose, &source, lane));
            TransactWriteItem::builder().update(update).build()
        });
        puts.chain(updates).collect()
    }
}

/// A text cut to at most so many bytes, and seen to be.
fn cut(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let end = (0..=bytes_max).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    format!("{}… (cut from {} bytes)", &text[..end], text.len())
}
