//! Reads the rows that a plan names, page by page, and adds them up as they come. No row is kept.
//!
//! Three numbers bound what that takes: the pages in flight of the tenant and the process (`limits/pages.rs`), the rows of one question
//! over all its ranges, and the bytes of what the rows add up to.

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tidemark_domain::{MetricName, running::RunningMetric};
use tidemark_store::{Row, RowPage, RowQuery, RowRange, Span, Store, Tenant};

use super::ask::Ask;
use super::cost::Cost;
use super::fold::Fold;
use super::held::Held;
use super::plan::{Plan, ROWS_READ_MAX, TooMany};
use crate::limits::{Admission, PagePlace, PageQueue, TENANT_PAGES_MAX};
use crate::problem::ApiError;

/// Questions of so many Queries and more are read one after the other for each tenant. Several at once would only share the tenant's
/// pages and all be late.
const TURN_FROM: u64 = 64;

/// What rows are read from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shelf<'a> {
    pub store: &'a Store,
    pub tenant: &'a Tenant,
    pub name: &'a MetricName,
    pub metric: &'a RunningMetric,
    pub queue: &'a PageQueue,
}

/// What the rows of one question add up to, and what they have taken so far.
#[derive(Debug)]
pub(crate) struct Intake<'a> {
    /// Pays for what is read.
    pub admission: &'a Admission,
    pub current: Fold<'a>,
    /// Of the range compared with.
    pub previous: Option<Fold<'a>>,
    pub held: Held<'a>,
    pub cost: Cost,
}

/// Which range a row is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Current,
    Previous,
}

/// A page, and the place it takes in memory.
struct Read<'a> {
    part: Part,
    page: RowPage<'a>,
    range: &'a RowRange,
    place: PagePlace<'a>,
}

impl<'a> Shelf<'a> {
    /// Reads every row of the plan into the intake.
    ///
    /// # Errors
    /// As [`Intake::take`], or the store's.
    pub(crate) async fn gather(&self, plan: &Plan, intake: &mut Intake<'_>) -> Result<(), ApiError> {
        let compared = plan.comparison.as_ref().map_or(&[][..], |comparison| &comparison.spans);
        let parts = [(Part::Current, &plan.spans[..]), (Part::Previous, compared)];
        let spans = parts.into_iter().flat_map(|(part, spans)| spans.iter().map(move |span| (part, *span)));
        let ranges: Vec<(Part, RowRange)> = spans.map(|(part, span)| (part, self.range(span, intake.held.ask, plan))).collect();
        let mut queries =
            ranges.iter().flat_map(|(part, range)| range.queries(self.tenant).map(move |query| (*part, range, query)));
        let _turn = if plan.queries >= TURN_FROM { Some(self.queue.turn().await) } else { None };
        let mut reads = FuturesUnordered::new();
        loop {
            while reads.len() < TENANT_PAGES_MAX
                && let Some((part, range, query)) = queries.next()
            {
                reads.push(self.read(part, range, query));
            }
            let Some(read) = reads.next().await else { return Ok(()) };
            let Read { part, range, mut page, place } = read?;
            if let Some(query) = page.next.take() {
                reads.push(self.read(part, range, query));
            }
            intake.take(part, page.read(), page.rows())?;
            drop(place);
        }
    }

    /// Reads one page, when there is a place for it.
    async fn read<'r>(&self, part: Part, range: &'r RowRange, query: RowQuery) -> Result<Read<'r>, ApiError>
    where
        'a: 'r,
    {
        let place = self.queue.place().await;
        let page = self.store.row_page(range, query).await.map_err(ApiError::of_store)?;
        Ok(Read { part, page, range, place })
    }

    fn range(&self, span: Span, ask: &Ask, plan: &Plan) -> RowRange {
        RowRange {
            metric: self.name.clone(),
            generation: self.metric.generation,
            set: plan.set.clone(),
            lanes: self.metric.lanes_read(),
            span,
            filter: ask.filter.clone(),
            keyed: plan.keyed,
        }
    }
}

impl Intake<'_> {
    /// Adds up the rows of a page, of which so many were read.
    ///
    /// # Errors
    /// `query_too_large` when more rows were read than an answer may read, or when what they add up to is more than a tenant may hold;
    /// `too_many_at_once` or `overloaded` when others hold too much; else that of a row.
    pub(crate) fn take(
        &mut self,
        part: Part,
        read: usize,
        rows: impl Iterator<Item = Result<Row, tidemark_store::Error>>,
    ) -> Result<(), ApiError> {
        let paid = self.cost.tokens();
        self.cost.rows += read as u64;
        self.admission.owe(self.cost.tokens() - paid);
        if self.cost.rows > ROWS_READ_MAX as u64 {
            return Err(self.held.too_large(TooMany::Rows));
        }
        for row in rows {
            let row = row.map_err(ApiError::of_store)?;
            match (part, &mut self.previous) {
                (Part::Current, _) => self.current.add(&row),
                (Part::Previous, Some(previous)) => previous.add(&row),
                (Part::Previous, None) => unreachable!("only a comparison has rows of a previous range"),
            }
        }
        let bytes = self.current.bytes() + self.previous.as_ref().map_or(0, Fold::bytes);
        self.held.grow(bytes - self.held.share.bytes())
    }
}

#[cfg(test)]
mod tests;
