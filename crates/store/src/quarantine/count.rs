//! How much was ever quarantined, of which source and whose: counters that a commit raises with the records it sets aside.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::Update;
use jiff::Timestamp;
use tidemark_domain::{SourceName, TenantId};

use super::AT;
use crate::error::Error;
use crate::item::{Item, Stored, key_item, n};
use crate::key::{self, Key, SK};
use crate::read::{Order, Stretch};
use crate::{Store, Tenant};

/// The counters of a source are spread over so many items: every shard of every tenant may count at once.
pub(super) const COUNTERS: u32 = 16;
/// Most sources whose counters are read; beyond what any definition file has.
const SOURCES_MAX: usize = 10_000;

const RECORDS: &str = "records";
const OVERFLOWS: &str = "overflows";
const UNCOUNTED: &str = "uncounted";
const UNDECIDED: &str = "undecided";
const WITHOUT_TENANT: &str = "without_tenant";

/// How much of a source was ever quarantined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QuarantineCount {
    /// Records, of whatever kind.
    pub records: u64,
    /// Those among them that hold deltas which their rows refused: some rows are broken.
    pub overflows: u64,
    /// Those among them that could be read, but not counted by what is stored for their tenant: they are missing from its numbers, and
    /// no row tells.
    pub uncounted: u64,
    /// Those among them that were counted, but whose levels stayed as they were: what is stored of them could not be read.
    pub undecided: u64,
    /// Those among them whose tenant could not be read; a tenant has none of them.
    pub without_tenant: u64,
    /// When the latest of them was written to the source, to the second. Where shards lag behind others it may be the latest of one
    /// that was set aside later.
    pub last_at: Option<Timestamp>,
}

impl QuarantineCount {
    /// Whether numbers or levels lack something that the quarantine holds.
    pub fn is_missed(&self) -> bool {
        self.overflows > 0 || self.are_levels_missed()
    }

    /// Whether levels do: also those of a record that could not be counted, for it may have had some.
    pub fn are_levels_missed(&self) -> bool {
        self.uncounted > 0 || self.undecided > 0
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.overflows += other.overflows;
        self.uncounted += other.uncounted;
        self.undecided += other.undecided;
        self.without_tenant += other.without_tenant;
        self.last_at = self.last_at.max(other.last_at);
    }

    /// The update that adds this to a stored counter.
    pub(super) fn update(&self, table: &str, counter: &Key) -> Update {
        let mut update = Update::builder()
            .table_name(table)
            .set_key(Some(key_item(counter)))
            .expression_attribute_names("#records", RECORDS)
            .expression_attribute_names("#overflows", OVERFLOWS)
            .expression_attribute_values(":records", n(self.records))
            .expression_attribute_values(":overflows", n(self.overflows));
        let mut expression = "ADD #records :records, #overflows :overflows".to_owned();
        let rare = [
            ("#uncounted", ":uncounted", self.uncounted),
            ("#undecided", ":undecided", self.undecided),
            ("#without_tenant", ":without_tenant", self.without_tenant),
        ];
        for (name, value, count) in rare {
            if count > 0 {
                expression += &format!(", {name} {value}");
                update = update.expression_attribute_names(name, &name[1..]).expression_attribute_values(value, n(count));
            }
        }
        if let Some(at) = self.last_at {
            expression += " SET #at = :at";
            update = update.expression_attribute_names("#at", AT).expression_attribute_values(":at", n(at.as_second()));
        }
        update.update_expression(expression).build().expect("table, key and expression are set")
    }

    fn stored(item: &Item) -> Result<Self, Error> {
        let stored = Stored(item);
        Ok(Self {
            records: stored.number(RECORDS)?.unwrap_or(0),
            overflows: stored.number(OVERFLOWS)?.unwrap_or(0),
            uncounted: stored.number(UNCOUNTED)?.unwrap_or(0),
            undecided: stored.number(UNDECIDED)?.unwrap_or(0),
            without_tenant: stored.number(WITHOUT_TENANT)?.unwrap_or(0),
            last_at: stored.instant(AT)?,
        })
    }
}

impl Store {
    /// How much of each source was ever quarantined for a tenant.
    ///
    /// # Errors
    /// When the items cannot be read.
    pub async fn quarantine_counts(&self, tenant: &Tenant) -> Result<BTreeMap<SourceName, QuarantineCount>, Error> {
        self.counts(&key::quarantine_counts(Some(tenant.id())), "").await
    }

    /// How much of each source was ever quarantined, whosesoever it is.
    ///
    /// # Errors
    /// When the items cannot be read.
    pub async fn quarantine_counts_of_sources(&self) -> Result<BTreeMap<SourceName, QuarantineCount>, Error> {
        self.counts(&key::quarantine_counts(None), "").await
    }

    /// How much of one source was ever quarantined for a tenant.
    pub(super) async fn quarantine_count(&self, tenant: &TenantId, source: &SourceName) -> Result<QuarantineCount, Error> {
        let counts = self.counts(&key::quarantine_counts(Some(tenant)), &format!("{source}#")).await?;
        Ok(counts.get(source).copied().unwrap_or_default())
    }

    async fn counts(&self, pk: &str, prefix: &str) -> Result<BTreeMap<SourceName, QuarantineCount>, Error> {
        let limit = SOURCES_MAX * usize::try_from(COUNTERS).expect("a small number");
        let found = self.stretch(&Stretch { pk, prefix, after: None, order: Order::Rising, limit }).await?;
        let mut counts: BTreeMap<SourceName, QuarantineCount> = BTreeMap::new();
        for item in &found.items {
            let stored = Stored(item);
            let sk = stored.text(SK)?;
            let name = sk.split_once('#').map_or(sk.as_str(), |(source, _)| source);
            let source = SourceName::new(name).map_err(|error| stored.corrupt(SK, &error.to_string()))?;
            counts.entry(source).or_default().add(&QuarantineCount::stored(item)?);
        }
        Ok(counts)
    }
}
