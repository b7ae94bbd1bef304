//! Aggregate rows: their attributes, and reading ranges of them back.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_dynamodb::types::AttributeValue;
use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use jiff::civil::Date;
use tidemark_domain::bucket::{QUARTER_SECONDS, Width};
use tidemark_domain::definition::GroupingSet;
use tidemark_domain::{Bucket, Currency, Decimal, DimensionName, Group, MeasureName, MetricName};

use crate::error::Error;
use crate::item::{Item, Stored, s};
use crate::key::{self, Family, PK, SK};
use crate::limits::SORT_KEY_BYTES_MAX;
use crate::{Store, Tenant};

/// Set on a row that has refused a delta: its numbers are not to be trusted.
pub(crate) const BROKEN: &str = "broken";
/// Prefix of a measure's attribute, so that no measure's name meets an attribute of ours.
const MEASURE: &str = "m_";

/// Most Queries of one read: a century of days, or a retention of quarters for a dozen values.
const QUERIES_MAX: usize = 5_000;
/// Queries of one read that are under way at once.
const QUERIES_AT_ONCE: usize = 16;
/// Up to this many values of leading dimensions are asked for by key; beyond, whole chunks are read and filtered.
const PREFIXES_MAX: usize = 20;

/// Which rows to read.
#[derive(Debug, Clone)]
pub struct RowRange {
    pub metric: MetricName,
    pub generation: u32,
    pub set: GroupingSet,
    /// All lanes below this number are read and added up.
    pub lanes: u16,
    pub span: Span,
    /// Per dimension of the set, the groups that are let in; dimensions that are not named let everything in.
    pub filter: BTreeMap<DimensionName, BTreeSet<Group>>,
    /// Reading more rows than this is an error.
    pub rows_max: usize,
}

/// A half-open range of buckets of one width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// `[from, to)`, both on quarters.
    Quarters { from: Timestamp, to: Timestamp },
    /// `[from, to)`.
    Days { from: Date, to: Date },
}

/// One aggregate row, its lanes added up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// In the order of the set's dimensions.
    pub groups: Vec<Group>,
    pub currency: Option<Currency>,
    pub bucket: Bucket,
    /// Stored measures; one that is absent was never counted here.
    pub values: BTreeMap<MeasureName, Decimal>,
    /// A delta did not fit (see the quarantine): the values are not the whole truth.
    pub broken: bool,
}

/// Why rows could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    #[error("the range is too large: it may hold more than {0} rows")]
    TooMany(usize),
    #[error(transparent)]
    Store(#[from] Error),
}

pub(crate) fn measure_attribute(name: &MeasureName) -> String {
    format!("{MEASURE}{name}")
}

impl Store {
    /// Reads rows consistently, in no order.
    ///
    /// # Errors
    /// [`RowsError::TooMany`] as soon as more than `rows_max` rows were met, or when it would take too many Queries.
    pub async fn rows(&self, tenant: &Tenant, range: &RowRange) -> Result<Vec<Row>, RowsError> {
        let read = AtomicUsize::new(0);
        let set = range.set.key();
        let family = Family { tenant: tenant.id(), metric: &range.metric, set: &set, generation: range.generation };
        let width = range.span.width();
        let prefixes = prefixes(range);
        let chunks = range.span.chunks();
        if chunks.len() * usize::from(range.lanes) * prefixes.len() > QUERIES_MAX {
            return Err(RowsError::TooMany(range.rows_max));
        }
        let mut queries = Vec::new();
        for chunk in chunks {
            for lane in 0..range.lanes {
                let partition = family.partition(width, &chunk, lane);
                queries.extend(prefixes.iter().map(|prefix| self.query_chunk(partition.clone(), prefix, range, &read)));
            }
        }
        let chunks: Vec<Vec<Row>> = futures::stream::iter(queries).buffer_unordered(QUERIES_AT_ONCE).try_collect().await?;
        Ok(merge_lanes(chunks.into_iter().flatten(), range.lanes))
    }

    async fn query_chunk(&self, pk: String, prefix: &str, range: &RowRange, read: &AtomicUsize) -> Result<Vec<Row>, RowsError> {
        let mut rows = Vec::new();
        let mut start = None;
        loop {
            let mut query =
                self.client.query().table_name(&self.tables.data).consistent_read(true).set_exclusive_start_key(start);
            query = query.expression_attribute_names("#pk", PK).expression_attribute_values(":pk", s(&pk));
            query = if prefix.is_empty() {
                query.key_condition_expression("#pk = :pk")
            } else {
                query
                    .key_condition_expression("#pk = :pk AND begins_with(#sk, :prefix)")
                    .expression_attribute_names("#sk", SK)
                    .expression_attribute_values(":prefix", s(prefix))
            };
            let output = query.send().await.map_err(|error| Error::from_sdk(&self.tables.data, error))?;
            let items = output.items.unwrap_or_default();
            if read.fetch_add(items.len(), Ordering::Relaxed) + items.len() > range.rows_max {
                return Err(RowsError::TooMany(range.rows_max));
            }
            for item in &items {
                let row = decode(item)?;
                if range.lets_in(&row) {
                    rows.push(row);
                }
            }
            start = output.last_evaluated_key;
            if start.is_none() {
                return Ok(rows);
            }
        }
    }
}

impl Span {
    fn width(&self) -> Width {
        match self {
            Self::Quarters { .. } => Width::Quarter,
            Self::Days { .. } => Width::Day,
        }
    }

    fn holds(&self, bucket: Bucket) -> bool {
        match (self, bucket) {
            (Self::Quarters { from, to }, Bucket::Quarter { start }) => *from <= start && start < *to,
            (Self::Days { from, to }, Bucket::Day { date }) => *from <= date && date < *to,
            _ => false,
        }
    }

    /// The chunks that hold the span's buckets, in order.
    fn chunks(&self) -> Vec<String> {
        let (first, last, chunk): (Date, Date, fn(Date) -> String) = match *self {
            Self::Quarters { from, to } if from < to => {
                let last = to - jiff::SignedDuration::from_secs(QUARTER_SECONDS);
                (key::utc_date(from), key::utc_date(last), key::day_chunk)
            }
            Self::Days { from, to } if from < to => (from, to.yesterday().unwrap_or(from), key::month_chunk),
            _ => return Vec::new(),
        };
        let mut chunks: Vec<String> = first.series(jiff::ToSpan::days(1)).take_while(|date| *date <= last).map(chunk).collect();
        chunks.dedup();
        chunks
    }
}

impl RowRange {
    fn lets_in(&self, row: &Row) -> bool {
        let passes =
            |(dimension, group)| self.filter.get(dimension).is_none_or(|groups: &BTreeSet<Group>| groups.contains(group));
        self.span.holds(row.bucket) && self.set.dimensions().zip(&row.groups).all(passes)
    }
}

/// What sort keys may begin with: the combinations of the filtered values of the leading dimensions, as far as they are few.
fn prefixes(range: &RowRange) -> Vec<String> {
    let mut prefixes = vec![String::new()];
    for dimension in range.set.dimensions() {
        let Some(groups) = range.filter.get(dimension) else { break };
        if prefixes.len() * groups.len() > PREFIXES_MAX {
            break;
        }
        let extend = |prefix: &String| {
            groups.iter().map(|group| prefix.clone() + &key::group_prefix(std::slice::from_ref(group))).collect::<Vec<_>>()
        };
        prefixes = prefixes.iter().flat_map(extend).collect();
    }
    // No sort key begins with a longer one, and DynamoDB refuses the question.
    prefixes.retain(|prefix| prefix.len() <= SORT_KEY_BYTES_MAX);
    prefixes
}

fn decode(item: &Item) -> Result<Row, Error> {
    let stored = Stored(item);
    let sk = stored.text(SK)?;
    let (groups, currency, bucket) =
        key::parse_aggregate_sort_key(&sk).ok_or_else(|| stored.corrupt(SK, "is no key of an aggregate"))?;
    let mut values = BTreeMap::new();
    for (attribute, value) in item {
        let Some(name) = attribute.strip_prefix(MEASURE) else { continue };
        let name = MeasureName::new(name).map_err(|error| stored.corrupt(attribute, &error.to_string()))?;
        match value {
            AttributeValue::N(number) => {
                let value = number.parse().map_err(|_| stored.corrupt(attribute, "is no number"))?;
                values.insert(name, value);
            }
            // A type clash: the row is marked broken, and shows what it has.
            _ => continue,
        }
    }
    Ok(Row { groups, currency, bucket, values, broken: stored.flag(BROKEN) })
}

fn merge_lanes(rows: impl Iterator<Item = Row>, lanes: u16) -> Vec<Row> {
    if lanes <= 1 {
        return rows.collect();
    }
    let mut merged: HashMap<(Vec<Group>, Option<Currency>, Bucket), Row> = HashMap::new();
    for row in rows {
        match merged.entry((row.groups.clone(), row.currency.clone(), row.bucket)) {
            std::collections::hash_map::Entry::Vacant(vacant) => {
                vacant.insert(row);
            }
            std::collections::hash_map::Entry::Occupied(mut sum) => {
                let sum = sum.get_mut();
                sum.broken |= row.broken;
                for (name, value) in &row.values {
                    *sum.values.entry(name.clone()).or_insert_with(Decimal::zero) += value;
                }
            }
        }
    }
    merged.into_values().collect()
}
