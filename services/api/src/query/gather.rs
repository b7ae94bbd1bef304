//! Reads the rows that a plan names.

use futures::future::try_join_all;
use tidemark_domain::{MetricName, running::RunningMetric};
use tidemark_store::{Row, RowRange, RowsError, Span, Store, Tenant};

use super::ask::Ask;
use super::plan::{Ground, Plan, ROWS_READ_MAX, TooMany};
use crate::problem::ApiError;

/// The rows of the range, and of the range it is compared with.
#[derive(Debug)]
pub(crate) struct Gathered {
    pub current: Vec<Row>,
    pub previous: Vec<Row>,
}

/// What rows are read from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shelf<'a> {
    pub store: &'a Store,
    pub tenant: &'a Tenant,
    pub name: &'a MetricName,
    pub metric: &'a RunningMetric,
}

impl Shelf<'_> {
    /// # Errors
    /// `query_too_large` when there are more rows than an answer may read, else the store's.
    pub(crate) async fn gather(&self, ask: &Ask, plan: &Plan, ground: Ground<'_>) -> Result<Gathered, ApiError> {
        let compared = plan.comparison.as_ref().map_or(&[][..], |comparison| &comparison.spans);
        let ranges: Vec<RowRange> = plan.spans.iter().chain(compared).map(|span| self.range(*span, ask, plan)).collect();
        let read = try_join_all(ranges.iter().map(|range| self.store.rows(self.tenant, range))).await;
        let mut read = read.map_err(|error| match error {
            RowsError::TooMany(_) => too_many(ask, ground),
            RowsError::Store(error) => ApiError::of_store(error),
        })?;
        if read.iter().map(Vec::len).sum::<usize>() > ROWS_READ_MAX {
            return Err(too_many(ask, ground));
        }
        let previous = read.split_off(plan.spans.len());
        Ok(Gathered { current: read.concat(), previous: previous.concat() })
    }

    fn range(&self, span: Span, ask: &Ask, plan: &Plan) -> RowRange {
        RowRange {
            metric: self.name.clone(),
            generation: self.metric.generation,
            set: plan.set.clone(),
            lanes: self.metric.lanes_read(),
            span,
            filter: ask.filter.clone(),
            rows_max: ROWS_READ_MAX,
        }
    }
}

fn too_many(ask: &Ask, ground: Ground<'_>) -> ApiError {
    ground.too_large(ask, ask.granularity, TooMany::Counted).into()
}
