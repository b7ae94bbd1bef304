//! Aggregate rows: their attributes, and reading ranges of them back, page by page.
//!
//! How many pages are read at once, and how many rows of a range altogether, is the caller's decision.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};
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

/// Most rows of one page. One takes 3 to 4 KiB in memory as the SDK gives it, so a page takes 2 MiB at most.
const PAGE_ROWS_MAX: i32 = 500;

/// Which rows to read.
#[derive(Debug, Clone)]
pub struct RowRange {
    pub metric: MetricName,
    pub generation: u32,
    pub set: GroupingSet,
    /// All lanes below this number are read.
    pub lanes: u16,
    pub span: Span,
    /// Per dimension of the set, the groups that are let in; dimensions that are not named let everything in.
    pub filter: BTreeMap<DimensionName, BTreeSet<Group>>,
    /// How many leading dimensions of the set are read by key: each combination of their groups is a Query of its own. All of them
    /// have a filter. Rows are filtered by the other dimensions after they are read.
    pub keyed: usize,
}

/// A half-open range of buckets of one width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// `[from, to)`, both on quarters.
    Quarters { from: Timestamp, to: Timestamp },
    /// `[from, to)`.
    Days { from: Date, to: Date },
}

/// One Query of a range: the rows of one chunk and lane, or those of them whose keys begin with some groups.
#[derive(Debug, Clone)]
pub struct RowQuery {
    pk: String,
    prefix: String,
    /// Continue behind this key.
    start: Option<Item>,
}

/// Some rows of one Query, still as DynamoDB gave them: each is decoded when it is taken.
#[derive(Debug)]
pub struct RowPage<'a> {
    range: &'a RowRange,
    items: Vec<Item>,
    /// Reads the next page; `None`: this is the last one.
    pub next: Option<RowQuery>,
}

/// One aggregate row of one lane. The rows of several lanes are added up.
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

pub(crate) fn measure_attribute(name: &MeasureName) -> String {
    format!("{MEASURE}{name}")
}

impl Store {
    /// Reads a page of rows consistently.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn row_page<'a>(&self, range: &'a RowRange, query: RowQuery) -> Result<RowPage<'a>, Error> {
        let RowQuery { pk, prefix, start } = query;
        let read = self.client.query().table_name(&self.tables.data).consistent_read(true).limit(PAGE_ROWS_MAX);
        let read = read.set_exclusive_start_key(start);
        let read = read.expression_attribute_names("#pk", PK).expression_attribute_values(":pk", s(&pk));
        let read = if prefix.is_empty() {
            read.key_condition_expression("#pk = :pk")
        } else {
            let read = read.key_condition_expression("#pk = :pk AND begins_with(#sk, :prefix)");
            read.expression_attribute_names("#sk", SK).expression_attribute_values(":prefix", s(&prefix))
        };
        let output = read.send().await.map_err(|error| Error::from_sdk(&self.tables.data, error))?;
        let next = output.last_evaluated_key.map(|start| RowQuery { pk, prefix, start: Some(start) });
        Ok(RowPage { range, items: output.items.unwrap_or_default(), next })
    }
}

impl RowPage<'_> {
    /// How many rows were read.
    pub fn read(&self) -> usize {
        self.items.len()
    }

    /// The rows that the range lets in.
    ///
    /// # Errors
    /// For a row that cannot be read.
    pub fn rows(self) -> impl Iterator<Item = Result<Row, Error>> {
        let Self { range, items, .. } = self;
        let rows = items.into_iter().map(|item| decode(&item));
        rows.filter(|row| row.as_ref().ok().is_none_or(|row| range.lets_in(row)))
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

    /// How many chunks hold the span's buckets: UTC days of quarter rows, months of day rows. A read takes at least a Query for each,
    /// in each lane.
    pub fn chunks(&self) -> u64 {
        let Some((first, last)) = self.ends() else { return 0 };
        let chunks = match self {
            Self::Quarters { .. } => last.duration_since(first).as_hours() / 24,
            Self::Days { .. } => 12 * i64::from(last.year() - first.year()) + i64::from(last.month() - first.month()),
        };
        u64::try_from(chunks).unwrap_or_default() + 1
    }

    /// The dates that the first and the last chunk hold; `None`: the span is empty.
    fn ends(&self) -> Option<(Date, Date)> {
        match *self {
            Self::Quarters { from, to } if from < to => {
                let last = to - jiff::SignedDuration::from_secs(QUARTER_SECONDS);
                Some((key::utc_date(from), key::utc_date(last)))
            }
            Self::Days { from, to } if from < to => Some((from, to.yesterday().unwrap_or(from))),
            _ => None,
        }
    }

    /// The names of the chunks, in order.
    fn chunk_names(&self) -> impl Iterator<Item = String> + use<> {
        let (step, name): (jiff::Span, fn(Date) -> String) = match self {
            Self::Quarters { .. } => (1.day(), key::day_chunk),
            Self::Days { .. } => (1.month(), key::month_chunk),
        };
        let ends = self.ends().map(|(first, last)| match self {
            Self::Quarters { .. } => (first, last),
            Self::Days { .. } => (first.first_of_month(), last),
        });
        ends.into_iter().flat_map(move |(first, last)| first.series(step).take_while(move |date| *date <= last)).map(name)
    }
}

impl RowRange {
    /// The Queries that read the range, each to be continued to its last page.
    pub fn queries(&self, tenant: &Tenant) -> impl Iterator<Item = RowQuery> {
        let (tenant, set, prefixes) = (tenant.id().clone(), self.set.key(), self.prefixes());
        self.span.chunk_names().flat_map(move |chunk| {
            let family = Family { tenant: &tenant, metric: &self.metric, set: &set, generation: self.generation };
            let lanes = (0..self.lanes).map(|lane| family.partition(self.span.width(), &chunk, lane));
            let query = |pk: String| prefixes.iter().map(move |prefix| (pk.clone(), prefix.clone()));
            let queries = lanes.flat_map(query).map(|(pk, prefix)| RowQuery { pk, prefix, start: None });
            queries.collect::<Vec<_>>()
        })
    }

    /// What sort keys may begin with: the combinations of the groups of the dimensions that are read by key.
    fn prefixes(&self) -> Vec<String> {
        let mut prefixes = vec![String::new()];
        for groups in self.set.dimensions().take(self.keyed).map_while(|dimension| self.filter.get(dimension)) {
            let extend = |prefix: &String| {
                groups.iter().map(|group| prefix.clone() + &key::group_prefix(std::slice::from_ref(group))).collect::<Vec<_>>()
            };
            prefixes = prefixes.iter().flat_map(extend).collect();
        }
        // No sort key begins with a longer one, and DynamoDB refuses the question.
        prefixes.retain(|prefix| prefix.len() <= SORT_KEY_BYTES_MAX);
        prefixes
    }

    fn lets_in(&self, row: &Row) -> bool {
        let passes =
            |(dimension, group)| self.filter.get(dimension).is_none_or(|groups: &BTreeSet<Group>| groups.contains(group));
        self.span.holds(row.bucket) && self.set.dimensions().zip(&row.groups).all(passes)
    }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tidemark_domain::TenantId;

    use super::*;

    fn name(text: &str) -> DimensionName {
        DimensionName::new(text).expect("a name")
    }

    fn range(span: Span, lanes: u16, groups: [usize; 2], keyed: usize) -> RowRange {
        let filter = [("item", groups[0]), ("region", groups[1])].into_iter().filter(|(_, groups)| *groups > 0);
        let values = |groups: usize| (0..groups).map(|number| Group::Text(number.to_string())).collect();
        RowRange {
            metric: MetricName::new("sales").expect("a name"),
            generation: 1,
            set: GroupingSet::new([name("item"), name("region")]),
            lanes,
            span,
            filter: filter.map(|(dimension, groups)| (name(dimension), values(groups))).collect(),
            keyed,
        }
    }

    proptest! {
        /// Every bucket of a span is in exactly one chunk that is read, each chunk has a bucket, and all are counted.
        #[test]
        fn the_queries_of_a_range_read_each_chunk_once_for_each_lane_and_prefix(
            start in -20_000_i64..20_000, quarters in 0_i64..3_000, days in 0_i32..800, is_days in any::<bool>(),
            lanes in 1_u16..4, groups in [0_usize..4, 0..4], keyed in 0_usize..3,
        ) {
            let from = Timestamp::from_second(start * 90_000 / 900 * 900).expect("an instant");
            let (span, buckets): (Span, Vec<Bucket>) = if is_days {
                let first = key::utc_date(from);
                let to = first.checked_add(jiff::Span::new().days(days)).expect("a date");
                let dates = first.series(1.day()).take_while(|date| *date < to);
                (Span::Days { from: first, to }, dates.map(|date| Bucket::Day { date }).collect())
            } else {
                let at = |quarter| from + jiff::SignedDuration::from_secs(quarter * QUARTER_SECONDS);
                (Span::Quarters { from, to: at(quarters) }, (0..quarters).map(|quarter| Bucket::Quarter { start: at(quarter) }).collect())
            };
            let chunks: BTreeSet<String> = buckets.into_iter().map(key::chunk).collect();
            prop_assert_eq!(span.chunk_names().collect::<Vec<_>>(), chunks.iter().cloned().collect::<Vec<_>>());
            prop_assert_eq!(span.chunks(), chunks.len() as u64);
            let range = range(span, lanes, groups, keyed);
            let combinations = match (keyed, groups) {
                (0, _) | (_, [0, _]) => 1,
                (1, [items, _]) | (_, [items, 0]) => items,
                (_, [items, regions]) => items * regions,
            };
            let tenant = Tenant::named_by_operator(TenantId::new("acme").expect("an id"));
            let queries: Vec<_> = range.queries(&tenant).map(|query| (query.pk, query.prefix)).collect();
            prop_assert_eq!(queries.len(), chunks.len() * usize::from(lanes) * combinations);
            prop_assert_eq!(queries.iter().collect::<BTreeSet<_>>().len(), queries.len(), "no Query is made twice");
        }
    }

    #[test]
    fn a_prefix_that_is_longer_than_any_key_takes_no_query() {
        let span = Span::Days { from: Date::constant(2026, 1, 1), to: Date::constant(2026, 1, 2) };
        let mut range = range(span, 1, [1, 0], 1);
        range.filter = BTreeMap::from([(name("item"), BTreeSet::from([Group::Text("a".repeat(SORT_KEY_BYTES_MAX))]))]);
        let tenant = Tenant::named_by_operator(TenantId::new("acme").expect("an id"));
        assert_eq!(range.queries(&tenant).count(), 0);
    }
}
