//! The one transaction in which a batch's effects and its shard's position become visible together. STREAMS §2.
//!
//! The position's update, the *fence*, comes ready-made from the streams crate and goes first; its condition is what makes the whole
//! exact. This file adds the rows and what was decided about levels, sends one request, and says how it ended in terms of what a
//! caller must do next.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, CancellationReason, TransactWriteItem, Update};
use tidemark_domain::bucket::QUARTER_RETENTION_DAYS;
use tidemark_domain::delta::{self, Measures, RowKey};
use tidemark_domain::{Bucket, Decimal, LevelKey, MeasureName, TenantId};

use crate::Store;
use crate::aggregate::{BROKEN, measure_attribute};
use crate::decisions::Decisions;
use crate::error::Error;
use crate::item::{key_item, n};
use crate::key::{self, EXPIRES_AT};
use crate::limits::LimitExceeded;
use crate::provenance::Provenance;
use crate::quarantine::{Concerned, QuarantineWrite};
use crate::transact::{CONDITION_FAILED, CONFLICT, TRANSIENT, code};

mod divert;
mod refusal;

/// Most items of one transaction (AWS: TransactWriteItems).
pub const ITEMS_MAX: usize = 100;
/// Rows outlive what the API reads of them by this much, so that none vanishes from under a query.
const EXPIRY_SLACK_DAYS: i64 = 3;
const DAY_SECONDS: i64 = 24 * 60 * 60;

/// An item as it stands in a table, for whoever can read it.
pub type Item = HashMap<String, AttributeValue>;

/// Everything a commit writes beside the position.
#[derive(Debug, Clone, Default)]
pub struct Writes {
    pub rows: Vec<RowWrite>,
    pub quarantine: Vec<QuarantineWrite>,
    pub decisions: Decisions,
}

/// One row of the data table and what happens to it.
#[derive(Debug, Clone)]
pub struct RowWrite {
    pub key: RowKey,
    pub lane: u16,
    pub delta: Measures,
    pub change: RowChange,
}

/// How a row takes its delta.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowChange {
    /// By `ADD`, whatever stands there.
    Add,
    /// The delta alone has more digits than DynamoDB takes, but the sum has not: the sums replace what was read.
    Replace { read: BTreeMap<MeasureName, Option<Decimal>> },
    /// Not at all: the row cannot hold the sum. It is marked broken, and the delta goes to quarantine.
    Divert,
}

/// Which items of a commit DynamoDB finds invalid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// Those of these levels, of their alerts or of the alerts' events.
    Levels(BTreeSet<LevelKey>),
    /// Rows or quarantine records.
    Others,
    /// It does not say.
    Unnamed,
}

/// How a commit that did not simply succeed ended.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A fence's condition failed; this is the shard item that stands.
    #[error("the shard's position is not where this batch begins")]
    Fenced(Option<Item>),
    /// Levels or rules are not as they were read: read them again and decide again, at the same position. The rules of these tenants
    /// are not.
    #[error("levels or rules changed meanwhile")]
    DecisionsStale(BTreeSet<TenantId>),
    /// Another transaction writes the same items, or the table is throttled: the same request may be made again. These tenants' rules,
    /// or their jobs, are among those items.
    #[error("the commit conflicted with another transaction, or was throttled")]
    Contended(BTreeSet<TenantId>),
    /// No answer, or none that says whether it was applied: the shard item must be read.
    #[error("it is unknown whether the commit was applied")]
    Unknown(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Some rows cannot take their delta by `ADD`; by index, what they take instead.
    #[error("rows refused their delta")]
    RowsRefused(Vec<(usize, RowChange)>),
    /// A row that was to be replaced was changed meanwhile: `Add` is to be tried again.
    #[error("rows changed meanwhile")]
    RowsMoved,
    /// DynamoDB finds the request invalid, and no row explains it. The same request will never succeed.
    #[error("DynamoDB finds the commit invalid")]
    Invalid { what: Refused, source: Box<dyn std::error::Error + Send + Sync> },
    #[error(transparent)]
    Failed(#[from] Error),
}

impl Writes {
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.quarantine.is_empty() && self.decisions.is_empty()
    }

    /// All of these as one: deltas of the same row are added up, and vanish where they cancel.
    ///
    /// # Panics
    /// With decisions: they are one shard's own, and a stale one would be everybody's.
    pub fn merged<'a>(all: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut rows: BTreeMap<(RowKey, u16), RowWrite> = BTreeMap::new();
        let mut quarantine = Vec::new();
        for writes in all {
            assert!(writes.decisions.is_empty(), "a commit that decides about levels is made alone");
            quarantine.extend(writes.quarantine.iter().cloned());
            for row in &writes.rows {
                match rows.entry((row.key.clone(), row.lane)) {
                    Entry::Vacant(vacant) => {
                        vacant.insert(row.clone());
                    }
                    Entry::Occupied(mut merged) => delta::accumulate(&mut merged.get_mut().delta, &row.delta),
                }
            }
        }
        let rows = rows.into_values().filter(|row| !row.delta.is_empty()).collect();
        Self { rows, quarantine, decisions: Decisions::default() }
    }

    /// How many items the transaction has, one fence included.
    pub fn items(&self) -> usize {
        let counters: BTreeSet<_> = self.quarantine.iter().flat_map(QuarantineWrite::counters).collect();
        let diverted: BTreeSet<&TenantId> = self.diverted().map(|row| &row.key.tenant).collect();
        // A tenant's diverted deltas are one record, counted in two counters that may not be there yet.
        let for_diverted = if diverted.is_empty() { 0 } else { 2 * diverted.len() + 1 };
        let for_quarantine = self.quarantine.len() + counters.len() + for_diverted;
        1 + self.decisions.items() + self.rows.len() + for_quarantine
    }

    /// Whose quarantine the commit puts records into. Each must be [listed](Store::list_concerned) before it is made.
    pub fn concerned(&self, from: &Provenance) -> BTreeSet<Concerned> {
        let diverted = self.diverted().map(|row| Concerned { source: from.source.clone(), tenant: row.key.tenant.clone() });
        self.quarantine.iter().filter_map(QuarantineWrite::concerned).chain(diverted).collect()
    }

    fn diverted(&self) -> impl Iterator<Item = &RowWrite> {
        self.rows.iter().filter(|row| row.change == RowChange::Divert)
    }
}

impl Store {
    /// Makes one attempt at a commit. It has one fence for each shard whose effects are in the writes.
    ///
    /// # Errors
    /// See [`CommitError`]: each variant is a rule of STREAMS §2.
    pub async fn commit(&self, fences: Vec<Update>, writes: &Writes, from: &Provenance) -> Result<(), CommitError> {
        let mut items: Vec<_> = fences.into_iter().map(|fence| TransactWriteItem::builder().update(fence).build()).collect();
        let fences = items.len();
        items.extend(writes.decisions.within(self));
        items.extend(writes.rows.iter().map(|row| TransactWriteItem::builder().update(self.row_update(row)).build()));
        let diverted = divert::records(writes.diverted(), from);
        let records: Vec<&QuarantineWrite> = writes.quarantine.iter().chain(&diverted).collect();
        items.extend(self.quarantine_items(&records, from));
        match self.client.transact_write_items().set_transact_items(Some(items)).send().await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.judge(error, fences, writes).await),
        }
    }

    fn row_update(&self, row: &RowWrite) -> Update {
        let mut update =
            Update::builder().table_name(&self.tables.data).set_key(Some(key_item(&key::aggregate(&row.key, row.lane))));
        let (mut adds, mut sets, mut conditions) = (Vec::new(), Vec::new(), Vec::new());
        for (index, (name, delta)) in row.delta.iter().enumerate() {
            let (attribute, value) = (format!("#m{index}"), format!(":d{index}"));
            match &row.change {
                RowChange::Divert => continue,
                RowChange::Add => {
                    adds.push(format!("{attribute} {value}"));
                    update = update.expression_attribute_values(value, n(delta));
                }
                RowChange::Replace { read } => {
                    let read = read.get(name).cloned().flatten();
                    conditions.push(match &read {
                        None => format!("attribute_not_exists({attribute})"),
                        Some(_) => format!("{attribute} = :r{index}"),
                    });
                    if let Some(read) = &read {
                        update = update.expression_attribute_values(format!(":r{index}"), n(read));
                    }
                    let sum: Decimal = [Some(delta), read.as_ref()].into_iter().flatten().sum();
                    sets.push(format!("{attribute} = {value}"));
                    update = update.expression_attribute_values(value, n(sum));
                }
            }
            update = update.expression_attribute_names(attribute, measure_attribute(name));
        }
        if row.change == RowChange::Divert {
            sets.push("#broken = :broken".to_owned());
            update = update.expression_attribute_names("#broken", BROKEN);
            update = update.expression_attribute_values(":broken", AttributeValue::Bool(true));
        }
        if let Bucket::Quarter { start } = row.key.bucket {
            sets.push("#expires = :expires".to_owned());
            update = update.expression_attribute_names("#expires", EXPIRES_AT);
            let expires = start.as_second() + (QUARTER_RETENTION_DAYS + EXPIRY_SLACK_DAYS) * DAY_SECONDS;
            update = update.expression_attribute_values(":expires", n(expires));
        }
        let clause =
            |word: &str, parts: &[String]| if parts.is_empty() { String::new() } else { format!("{word} {} ", parts.join(", ")) };
        update = update.update_expression(clause("ADD", &adds) + &clause("SET", &sets));
        if !conditions.is_empty() {
            update = update.condition_expression(conditions.join(" AND "));
        }
        update.build().expect("table, key and expression are set")
    }

    async fn judge(&self, error: SdkError<TransactWriteItemsError>, fences: usize, writes: &Writes) -> CommitError {
        let mut what = Refused::Unnamed;
        if let Some(TransactWriteItemsError::TransactionCanceledException(canceled)) = error.as_service_error() {
            match judge_reasons(canceled.cancellation_reasons(), fences, &writes.decisions) {
                Judged::Ended(ended) => return ended,
                Judged::Invalid(named) => what = named,
            }
        } else if let Some(limit) = LimitExceeded::of(&error) {
            what = Refused::of(limit.index().and_then(|index| index.checked_sub(fences)), &writes.decisions);
        } else if error.code() != Some("ValidationException") {
            return match Error::from_sdk(&self.tables.data, error) {
                Error::Throttled(_) => CommitError::Contended(BTreeSet::new()),
                Error::Unreachable(source) | Error::CredentialsUnavailable(source) => CommitError::Unknown(source),
                // A 5xx says nothing about what was applied.
                Error::Server(source) | Error::Other(source) => CommitError::Unknown(source),
                certain => CommitError::Failed(certain),
            };
        }
        if matches!(what, Refused::Levels(_)) {
            return CommitError::Invalid { what, source: error.into() };
        }
        match self.refused_rows(writes.rows.iter().enumerate()).await {
            Ok(rows) if rows.is_empty() => CommitError::Invalid { what, source: error.into() },
            Ok(rows) => CommitError::RowsRefused(rows),
            Err(error) => CommitError::Failed(error),
        }
    }
}

impl Refused {
    /// What some items of a commit are, by their index behind the fences.
    fn of(items: impl IntoIterator<Item = usize>, decisions: &Decisions) -> Self {
        let about = decisions.about();
        let mut items = items.into_iter().peekable();
        if items.peek().is_none() {
            return Self::Unnamed;
        }
        let levels: BTreeSet<LevelKey> = items.filter_map(|index| about.get(index)?.level.cloned()).collect();
        if levels.is_empty() { Self::Others } else { Self::Levels(levels) }
    }
}

enum Judged {
    Ended(CommitError),
    Invalid(Refused),
}

/// The fences are the first items. A refusal of one decides, whatever the other reasons are: nothing may be concluded under another
/// position. Then come the decisions; only their conditions and those of rows remain.
fn judge_reasons(reasons: &[CancellationReason], fences: usize, decisions: &Decisions) -> Judged {
    if let Some(fence) = reasons.iter().take(fences).find(|reason| code(reason) == CONDITION_FAILED) {
        return Judged::Ended(CommitError::Fenced(fence.item().cloned()));
    }
    let about = decisions.about();
    let of_code = |wanted: &'static str| {
        let decided = reasons.iter().skip(fences).zip(&about);
        decided.filter(move |(reason, _)| code(reason) == wanted).map(|(_, about)| about)
    };
    let of_rules = |wanted| -> BTreeSet<TenantId> {
        of_code(wanted).filter(|about| about.level.is_none()).map(|about| about.tenant.clone()).collect()
    };
    if of_code(CONDITION_FAILED).next().is_some() {
        return Judged::Ended(CommitError::DecisionsStale(of_rules(CONDITION_FAILED)));
    }
    if reasons.iter().any(|reason| code(reason) == CONDITION_FAILED) {
        return Judged::Ended(CommitError::RowsMoved);
    }
    if reasons.iter().all(|reason| TRANSIENT.contains(&code(reason))) {
        return Judged::Ended(CommitError::Contended(of_rules(CONFLICT)));
    }
    let refused = reasons.iter().skip(fences).enumerate().filter(|(_, reason)| !TRANSIENT.contains(&code(reason)));
    Judged::Invalid(Refused::of(refused.map(|(index, _)| index), decisions))
}
