//! What one image of a source item contributes to which rows: a pure, total function of the image.
//!
//! A change of an item is `contribution(new) − contribution(old)`, each at its own place, so edits of dates, dimensions or tenants
//! move values, and a long history telescopes to the contribution of the last image. That holds only because an image that cannot
//! be read contributes nothing on *either* side, and because the function never changes while it is in use: measures and sets
//! added later are judged apart (see [`crate::running::RunningMetric::measure_cohorts`]).

#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::bucket::Bucket;
use crate::currency::{self, Currency};
use crate::decimal::Decimal;
use crate::definition::{Condition, CurrencyRule, GroupingSet, Measure, TenantRule, Test};
use crate::delta::{Measures, RowKey};
use crate::group::{self, Group};
use crate::image::{Attribute, Image};
use crate::instant;
use crate::level;
use crate::name::{DimensionName, InventoryName, MeasureName, MetricName, SourceName};
use crate::running::{Running, RunningMetric};
use crate::tenant::{self, TenantId};
use crate::zone::Zone;

/// Most bytes of a sort key (AWS: limits, sort key length).
const SORT_KEY_BYTES_MAX: usize = 1024;
/// Bytes a row's sort key needs beside its groups and currency: one separator and the bucket's start.
const BUCKET_BYTES: usize = 1 + 16;

/// What an image contributes, and what of it could not be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contribution {
    pub rows: Vec<(RowKey, Measures)>,
    pub unreadable: Vec<Unreadable>,
}

/// Why an image, or a metric's part of it, contributes nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error("the tenant attribute `{attribute}` {problem}")]
    Tenant { attribute: String, problem: TenantProblem },
    #[error("metric `{metric}`: the time attribute `{attribute}` {problem}")]
    Time { metric: MetricName, attribute: String, problem: instant::Error },
    #[error("metric `{metric}`: the currency attribute `{attribute}` {problem}")]
    Currency { metric: MetricName, attribute: String, problem: CurrencyProblem },
    #[error("metric `{metric}`, dimension `{dimension}`: the attribute `{attribute}` {problem}")]
    Dimension { metric: MetricName, dimension: DimensionName, attribute: String, problem: group::Error },
    #[error("metric `{metric}`: its dimension values need a sort key of {bytes} bytes; DynamoDB's limit is {SORT_KEY_BYTES_MAX}")]
    KeyTooLong { metric: MetricName, bytes: usize },
    #[error("metric `{metric}`, measure `{measure}`: {problem}")]
    Measure { metric: MetricName, measure: MeasureName, problem: NumberProblem },
    #[error("inventory `{inventory}`: {problem}")]
    Level { inventory: InventoryName, problem: level::Problem },
    /// A defect of ours. It is confined to the record that shows it.
    #[error("reading the image failed inside Tidemark; please report it")]
    Internal,
}

/// What is wrong with a tenant attribute.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TenantProblem {
    #[error("is missing, and the source has no default")]
    Missing,
    #[error("is of type {0}; a tenant id is S")]
    WrongType(&'static str),
    #[error("is no tenant id: {0}")]
    Invalid(tenant::Error),
}

/// What is wrong with a currency attribute.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CurrencyProblem {
    #[error("is missing, and the metric has no default")]
    Missing,
    #[error("is of type {0}; a currency is S")]
    WrongType(&'static str),
    #[error("is no currency: {0}")]
    Invalid(currency::Error),
}

/// What is wrong with a numeric attribute, of a measure or a level.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NumberProblem {
    #[error("the attribute `{0}` is missing")]
    Missing(String),
    #[error("the attribute `{0}` is of type {1}; N is needed")]
    WrongType(String, &'static str),
    #[error("`{0}` is beyond what is counted: less than 10^38, at most 20 digits after the point, at most 38 significant digits")]
    OutOfRange(String),
}

impl Unreadable {
    /// A stable short name, for the API and for counting.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Tenant { .. } => "tenant",
            Self::Time { .. } => "time",
            Self::Currency { .. } => "currency",
            Self::Dimension { .. } => "dimension",
            Self::KeyTooLong { .. } => "key_too_long",
            Self::Measure { .. } => "measure",
            Self::Level { .. } => "level",
            Self::Internal => "internal",
        }
    }
}

/// The tenant an image belongs to.
///
/// # Errors
/// When the source takes it from an attribute that is missing without a default, or holds no tenant id.
pub fn tenant_of(rule: &TenantRule, image: &Image) -> Result<TenantId, Unreadable> {
    let (attribute, default) = match rule {
        TenantRule::Constant(tenant) => return Ok(tenant.clone()),
        TenantRule::Attribute { attribute, default } => (attribute, default),
    };
    let problem = match present(image, attribute) {
        None => match default {
            Some(tenant) => return Ok(tenant.clone()),
            None => TenantProblem::Missing,
        },
        Some(Attribute::Text(text)) => match TenantId::new(text) {
            Ok(tenant) => return Ok(tenant),
            Err(error) => TenantProblem::Invalid(error),
        },
        Some(other) => TenantProblem::WrongType(other.type_name()),
    };
    Err(Unreadable::Tenant { attribute: attribute.clone(), problem })
}

/// What an image of `source` contributes, given its tenant and that tenant's frozen zone.
pub fn of_image(running: &Running, source: &SourceName, image: &Image, tenant: &TenantId, zone: &Zone) -> Contribution {
    let mut contribution = Contribution::default();
    for (name, metric) in running.metrics.iter().filter(|(_, metric)| metric.definition.source == *source) {
        if !metric.definition.conditions.iter().all(|condition| holds(condition, image)) {
            continue;
        }
        let reader = Reader { name, metric, image };
        match reader.place(tenant, zone) {
            Ok(place) => reader.contribute(&place, &mut contribution),
            Err(unreadable) => contribution.unreadable.push(unreadable),
        }
    }
    contribution
}

/// One image, read for one metric.
struct Reader<'a> {
    name: &'a MetricName,
    metric: &'a RunningMetric,
    image: &'a Image,
}

/// What all rows of an image have in common.
struct Place<'a> {
    tenant: &'a TenantId,
    buckets: [Bucket; 2],
    currency: Option<Currency>,
}

impl Reader<'_> {
    fn place<'t>(&self, tenant: &'t TenantId, zone: &Zone) -> Result<Place<'t>, Unreadable> {
        let definition = &self.metric.definition;
        let instant = instant::parse(present(self.image, &definition.time), zone).map_err(|problem| Unreadable::Time {
            metric: self.name.clone(),
            attribute: definition.time.clone(),
            problem,
        })?;
        let currency = definition.currency.as_ref().map(|rule| currency_of(self.name, rule, self.image)).transpose()?;
        Ok(Place { tenant, buckets: [Bucket::quarter_of(instant), Bucket::day_of(instant, zone)], currency })
    }

    /// Adds the rows of every readable grouping set, in both buckets, with every readable measure.
    fn contribute(&self, place: &Place<'_>, contribution: &mut Contribution) {
        let mut measures = Measures::new();
        for cohort in self.metric.measure_cohorts() {
            match self.measures(&cohort) {
                Ok(values) => measures.extend(values),
                Err(unreadable) => contribution.unreadable.push(unreadable),
            }
        }
        for cohort in self.metric.set_cohorts() {
            match self.groups(&cohort, place) {
                Ok(_) if measures.is_empty() => {}
                Ok(sets) => contribution.rows.extend(sets.into_iter().flat_map(|set| self.rows(place, set, &measures))),
                Err(unreadable) => contribution.unreadable.push(unreadable),
            }
        }
    }

    fn measures(&self, cohort: &[(&MeasureName, &Measure)]) -> Result<Vec<(MeasureName, Decimal)>, Unreadable> {
        let value = |(name, formula): &(&MeasureName, &Measure)| match value_of(formula, self.image) {
            Ok(value) => Ok(((*name).clone(), value)),
            Err(problem) => Err(Unreadable::Measure { metric: self.name.clone(), measure: (*name).clone(), problem }),
        };
        cohort.iter().map(value).collect()
    }

    /// The groups the image belongs to, for each set of a cohort.
    fn groups<'s>(
        &self,
        cohort: &[&'s GroupingSet],
        place: &Place<'_>,
    ) -> Result<Vec<(&'s GroupingSet, Vec<Group>)>, Unreadable> {
        let group = |dimension: &DimensionName| {
            let attribute = &self.metric.definition.dimensions[dimension];
            Group::of(self.image.get(attribute)).map_err(|problem| Unreadable::Dimension {
                metric: self.name.clone(),
                dimension: dimension.clone(),
                attribute: attribute.clone(),
                problem,
            })
        };
        let mut sets = Vec::new();
        for set in cohort {
            let groups = set.dimensions().map(group).collect::<Result<Vec<_>, _>>()?;
            let currency_bytes = place.currency.as_ref().map_or(0, |currency| currency.as_str().len());
            let bytes = groups.iter().map(|group| group.encoded().len() + 1).sum::<usize>() + currency_bytes + BUCKET_BYTES;
            if bytes > SORT_KEY_BYTES_MAX {
                return Err(Unreadable::KeyTooLong { metric: self.name.clone(), bytes });
            }
            sets.push((*set, groups));
        }
        Ok(sets)
    }

    fn rows(&self, place: &Place<'_>, (set, groups): (&GroupingSet, Vec<Group>), measures: &Measures) -> [(RowKey, Measures); 2] {
        let set_key: Arc<str> = set.key().into();
        place.buckets.map(|bucket| {
            let key = RowKey {
                tenant: place.tenant.clone(),
                metric: self.name.clone(),
                set: set_key.clone(),
                generation: self.metric.generation,
                groups: groups.clone(),
                currency: place.currency.clone(),
                bucket,
            };
            (key, measures.clone())
        })
    }
}

fn currency_of(metric: &MetricName, rule: &CurrencyRule, image: &Image) -> Result<Currency, Unreadable> {
    let problem = match present(image, &rule.attribute) {
        None => match &rule.default {
            Some(currency) => return Ok(currency.clone()),
            None => CurrencyProblem::Missing,
        },
        Some(Attribute::Text(text)) => match Currency::new(text) {
            Ok(currency) => return Ok(currency),
            Err(error) => CurrencyProblem::Invalid(error),
        },
        Some(other) => CurrencyProblem::WrongType(other.type_name()),
    };
    Err(Unreadable::Currency { metric: metric.clone(), attribute: rule.attribute.clone(), problem })
}

fn value_of(formula: &Measure, image: &Image) -> Result<Decimal, NumberProblem> {
    let factors = match formula {
        Measure::Sum { factors, .. } => factors,
        // A ratio is never stored; a cohort holds none.
        Measure::Count { .. } | Measure::Ratio { .. } => return Ok(Decimal::one()),
    };
    let mut product = Decimal::one();
    for factor in factors {
        product = product.times(&number(image, factor)?);
    }
    if product.is_readable() { Ok(product) } else { Err(NumberProblem::OutOfRange(product.to_string())) }
}

/// The value of a numeric attribute, within the bounds of a measure.
pub(crate) fn number(image: &Image, attribute: &str) -> Result<Decimal, NumberProblem> {
    let text = match present(image, attribute) {
        None => return Err(NumberProblem::Missing(attribute.to_owned())),
        Some(Attribute::Number(text)) => text,
        Some(other) => return Err(NumberProblem::WrongType(attribute.to_owned(), other.type_name())),
    };
    match text.parse::<Decimal>() {
        Ok(value) if value.is_readable() => Ok(value),
        _ => Err(NumberProblem::OutOfRange(text.chars().take(80).collect())),
    }
}

fn holds(condition: &Condition, image: &Image) -> bool {
    let attribute = present(image, &condition.attribute);
    if let Test::Exists(wanted) = condition.test {
        return attribute.is_some() == wanted;
    }
    let Some(attribute) = attribute else { return condition.or_missing };
    let listed = |texts: &std::collections::BTreeSet<String>| matches!(Group::of(Some(attribute)), Ok(Group::Text(text)) if texts.contains(&text));
    let number = match attribute {
        Attribute::Number(text) => text.parse::<Decimal>().ok(),
        _ => None,
    };
    match &condition.test {
        Test::In(texts) => listed(texts),
        Test::NotIn(texts) => !listed(texts),
        Test::AtLeast(bound) => number.is_some_and(|value| value >= *bound),
        Test::AtMost(bound) => number.is_some_and(|value| value <= *bound),
        Test::Exists(_) => unreachable!("answered above"),
    }
}

/// An attribute that is there; NULL counts as missing, everywhere.
pub(crate) fn present<'a>(image: &'a Image, attribute: &str) -> Option<&'a Attribute> {
    image.get(attribute).filter(|attribute| !matches!(attribute, Attribute::Null(_)))
}
