//! CPU time and latency of the API per question, beside a handler that adds up the same rows.
//!
//! The API computes an answer once for all equal questions of a second. Each row but the last therefore asks many variants of its question,
//! and each of them again only after that second. Variants differ in parameters that change neither the rows that are read nor the size of
//! the answer.

mod asker;
mod right;
mod shop;

use std::time::Duration;

use jiff::ToSpan;
use jiff::civil::Date;

use self::asker::{Asker, Slice};
use self::right::Shape;
use self::shop::{Shop, TENANT};
use crate::baseline::HandlerRequest;
use crate::lab::Lab;
use crate::row::{Endpoint, Goal, Row, Unit};

/// How often the API and the handler are measured, taking turns to answer.
const SLICES: usize = 8;
/// How long each measurement is.
const SLICE: Duration = Duration::from_millis(1_500);
/// The time between two equal questions: an answer is shared for a second after it was computed.
const SHARED_FOR: Duration = Duration::from_millis(1_100);
/// How many groups an answer of the largest groups has.
const TOP: usize = 10;
/// The ratio that the rows with a goal may have.
const RATIO: f64 = 1.4;

/// A question, how it is asked, and the rows that answer it.
struct Ask {
    id: &'static str,
    what: &'static str,
    shape: Shape,
    manner: Manner,
    /// Variants of the question, as query strings. The handler answers the first.
    questions: Vec<String>,
    /// The stored set whose rows answer it, as the keys of rows spell it.
    set: &'static str,
    /// The regions that the first question lets in; empty: all.
    regions: &'static [&'static str],
    goal: Option<Goal>,
}

/// How a question is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Not asked within the last second.
    New,
    /// Not asked within the last second, by a client that has the answer already: `If-None-Match`.
    Known,
    /// The same question again and again.
    Repeated,
}

pub(super) async fn measure(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    let mut shop = Shop::open(lab).await?;
    let mut rows = Vec::new();
    for ask in asks(shop.orders.month())? {
        rows.push(ask.measure(lab, &mut shop).await?);
    }
    Ok(rows)
}

fn asks(month: Date) -> anyhow::Result<Vec<Ask>> {
    let goal = Some(Goal::Ratio(RATIO));
    let (total, series) = (variants_of_total(month, "")?, variants_of_total(month, "&granularity=P1D")?);
    // The row of the series asked others: it may have ended within the last second.
    let known = variants_of_total(month, "&granularity=P1D&fill=none")?;
    let ask = |id, what, manner, questions, goal| Ask {
        id,
        what,
        shape: Shape::Series,
        manner,
        questions,
        set: "*",
        regions: &[],
        goal,
    };
    Ok(vec![
        Ask { shape: Shape::Total, ..ask("values.total", "total of 30 days", Manner::New, total.clone(), goal) },
        ask("values.series", "30 days, day by day", Manner::New, series, goal),
        Ask {
            set: "item",
            shape: Shape::Groups,
            ..ask("values.groups", "top 10 of 1 000 items in 30 days", Manner::New, variants_of_top(month, &[""])?, goal)
        },
        Ask {
            set: "item+region",
            shape: Shape::Groups,
            regions: &["eu", "us"],
            ..ask(
                "values.rollup",
                "top 10 of 1 000 items in two of three regions, added up from the rows of [item, region]",
                Manner::New,
                variants_of_top(month, &["eu,us", "eu,ap", "ap,us"])?,
                None,
            )
        },
        ask("values.unchanged", "30 days, day by day, asked with If-None-Match and answered 304", Manner::Known, known, None),
        Ask {
            shape: Shape::Total,
            ..ask("values.shared", "total of 30 days, asked again within the second", Manner::Repeated, total, None)
        },
    ])
}

/// No answer has more than one row, so that neither its limit nor what is beyond it matters.
fn variants_of_total(month: Date, more: &str) -> anyhow::Result<Vec<String>> {
    let range = range(month, 30)?;
    let limits = (1..=1_000).flat_map(|limit| ["false", "true"].map(|other| (limit, other)));
    Ok(limits.map(|(limit, other)| format!("{range}{more}&limit={limit}&other={other}")).collect())
}

/// All day rows of a month are read for each part of it, and nothing was ordered on its last day.
fn variants_of_top(month: Date, regions: &[&str]) -> anyhow::Result<Vec<String>> {
    let mut variants = Vec::new();
    for days in [30, 31] {
        let range = range(month, days)?;
        for order in ["-revenue", "-units", "-orders", "revenue", "units", "orders"] {
            for fill in ["zero", "none"] {
                for regions in regions {
                    let filter = if regions.is_empty() { String::new() } else { format!("&filter%5Bregion%5D={regions}") };
                    variants.push(format!("{range}&group_by=item&order={order}&limit={TOP}&fill={fill}{filter}"));
                }
            }
        }
    }
    Ok(variants)
}

fn range(month: Date, days: i64) -> anyhow::Result<String> {
    Ok(format!("from={month}&to={}", month.checked_add(days.days())?))
}

impl Ask {
    async fn measure(&self, lab: &Lab, shop: &mut Shop) -> anyhow::Result<Row> {
        let handled = HandlerRequest {
            // The partition of a month's day rows.
            pk: format!("T#{TENANT}#M#sales.{}#g1#d{}#L0", self.set, shop.orders.month().strftime("%Y%m")),
            by: self.shape.part_of_key(),
            second: self.regions.join(","),
            top: if self.shape == Shape::Groups { TOP } else { 0 },
        };
        let (mut api, mut handler) =
            (self.asker(lab, shop)?, Asker::new(vec![shop.handler_request(lab, &handled)?], Duration::ZERO));
        let right = right::of_orders(shop.orders.live(), self.shape, self.regions);
        let answer = api.ask(lab).await?;
        anyhow::ensure!(right::of_api(&answer.body, self.shape)? == right, "{}: the API answers {}", self.id, answer.text());
        let handled = handler.ask(lab).await?;
        anyhow::ensure!(right::of_handler(&handled.body)? == right, "{}: the handler answers {}", self.id, handled.text());
        if self.manner == Manner::Known {
            api.knows(&answer)?;
        }
        let (mut own, mut beside) = (Vec::new(), Vec::new());
        let recording = shop.profile(lab, self.id)?;
        for _ in 0..lab.repetitions(SLICES) {
            let (of_api, of_handler) = shop.slices(lab, (&mut api, &mut handler), lab.span(SLICE)).await?;
            own.push(of_api);
            beside.push(of_handler);
        }
        if let Some(recording) = recording {
            recording.end().await?;
        }
        self.check_manner(lab, &own)?;
        Ok(self.row(&own, &beside))
    }

    fn asker(&self, lab: &Lab, shop: &Shop) -> anyhow::Result<Asker> {
        let (questions, apart) = match self.manner {
            Manner::Repeated => (&self.questions[..1], Duration::ZERO),
            Manner::New | Manner::Known => (&self.questions[..], SHARED_FOR),
        };
        Ok(Asker::new(questions.iter().map(|question| shop.api_request(lab, question)).collect::<Result<_, _>>()?, apart))
    }

    /// A new question has the API read rows, and one that is repeated mostly does not.
    fn check_manner(&self, lab: &Lab, own: &[Slice]) -> anyhow::Result<()> {
        let requests: usize = own.iter().map(Slice::requests).sum();
        let queries: u64 = own.iter().map(|slice| slice.queries).sum();
        let right = match self.manner {
            Manner::Repeated => lab.quick || queries < requests as u64 / 2,
            Manner::New | Manner::Known => queries >= requests as u64,
        };
        anyhow::ensure!(right, "{}: {requests} requests took {queries} Queries", self.id);
        Ok(())
    }

    fn row(&self, own: &[Slice], beside: &[Slice]) -> Row {
        let pairs: Vec<(f64, f64)> = own.iter().zip(beside).map(|(own, beside)| (own.cpu_ms(), beside.cpu_ms())).collect();
        let requests = own.iter().map(Slice::requests).sum::<usize>() as f64;
        let per_request = |amount: fn(&Slice) -> f64| own.iter().map(amount).sum::<f64>() / requests;
        let row = Row::new(self.id, self.what, Endpoint::Stub, Unit::Milliseconds, pairs.iter().map(|(own, _)| *own).collect())
            .against("one axum handler that adds up the rows of one Query", &pairs)
            .with("p50", Unit::Milliseconds, asker::percentile(own, 50.0))
            .with("p99", Unit::Milliseconds, asker::percentile(own, 99.0))
            .with("p50 of the handler", Unit::Milliseconds, asker::percentile(beside, 50.0))
            .with("p99 of the handler", Unit::Milliseconds, asker::percentile(beside, 99.0))
            .with("calls to DynamoDB", Unit::Requests, per_request(|slice| slice.calls as f64))
            .with("reads", Unit::ReadUnits, per_request(|slice| slice.read_units));
        match self.goal {
            Some(goal) => row.with_goal(goal),
            None => row,
        }
    }
}
