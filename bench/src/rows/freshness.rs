//! How long after a write its number is visible and its alert arrives, while a shop's orders change at some rate.
//!
//! Every time begins when the PutItem of a probe is sent.
//!
//! The rows with a ratio are of the stub. DynamoDB Local needs most of the machine, and its pace differs so much between two runs that ratios
//! differed by 40 %: its rows have none.

use std::time::Duration;

use crate::lab::{Lab, RETAIL, percentile};
use crate::row::{Endpoint, Goal, Row, Unit};
use crate::stub::Latency;

mod alerts;
mod load;
mod probe;
mod seen;
mod shop;

use probe::Probed;
use shop::Shop;

/// Writes a second.
const RATES: [u32; 3] = [10, 100, 500];
/// How long orders change at each rate.
const SPAN: Duration = Duration::from_secs(20);
/// At the lowest rate for longer: it has fewer probes.
const SPAN_OF_LOWEST: Duration = Duration::from_secs(30);
/// The rate whose polled question has a goal, and the goal in ms. It is the rate on DynamoDB Local, too.
const GOAL: (u32, f64) = (100, 350.0);
const SPAN_ON_LOCAL: Duration = Duration::from_secs(10);

/// What one rate showed.
struct AtRate {
    endpoint: Endpoint,
    rate: u32,
    /// Writes a second to the table of orders, as they were answered.
    achieved: f64,
    /// Each question is a new one.
    fresh: Vec<Probed>,
    /// One question is asked again and again.
    polled: Vec<Probed>,
    /// A reader of the stream that does nothing else.
    read: Vec<Probed>,
    alerts: Vec<Probed>,
}

pub(super) async fn measure(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    let mut measured = Vec::new();
    let mut shop = Shop::open(lab, lab.on_tables(RETAIL, Latency::REGION).await?).await?;
    for rate in RATES {
        let span = if rate == RATES[0] { SPAN_OF_LOWEST } else { SPAN };
        measured.push(shop.at_rate(lab, rate, lab.span(span)).await?);
    }
    if let Some(deployment) = lab.on_local(RETAIL).await? {
        measured.push(Shop::open(lab, deployment).await?.at_rate(lab, GOAL.0, lab.span(SPAN_ON_LOCAL)).await?);
    }
    let mut rows: Vec<Row> = measured.iter().flat_map(AtRate::rows).collect();
    // Groups stand together in the report.
    rows.sort_by_key(|row| row.group() == "alert");
    Ok(rows)
}

impl AtRate {
    /// Written → visible: by new questions, and by one that is polled. Written → received: an alert.
    fn rows(&self) -> [Row; 3] {
        let (at, is_judged) = match self.endpoint {
            Endpoint::DynamodbLocal => ("local".to_owned(), false),
            _ => (format!("rate-{:04}", self.rate), true),
        };
        let load = format!("{} order writes asked for a second", self.rate);
        let polled = format!("one question every {} ms, {load}: written → visible, p50", seen::POLLED_EVERY.as_millis());
        let rows = [
            self.row(format!("freshness.{at}.fresh"), format!("new questions, {load}: written → visible, p50"), &self.fresh),
            self.row(format!("freshness.{at}.polled"), polled, &self.polled),
            self.row(format!("alert.{at}"), format!("{load}: stock written → alert received, p50"), &self.alerts),
        ];
        if !is_judged {
            return rows.map(|row| row.with("p50 of a reader of the stream", Unit::Milliseconds, p50(&self.read)));
        }
        let [fresh, polled, alert] = rows.map(|row| self.beside_the_reader(row));
        [fresh, if self.rate == GOAL.0 { polled.with_goal(Goal::Value(GOAL.1)) } else { polled }, alert]
    }

    fn row(&self, id: String, what: String, probed: &[Probed]) -> Row {
        let took = probed.iter().map(|probed| probed.took).collect();
        let empty = probed.iter().map(|probed| probed.empty_loop).collect();
        Row::new(id, what, self.endpoint, Unit::Milliseconds, vec![p50(probed)])
            .with("p99", Unit::Milliseconds, percentile(took, 99.0))
            .with("p50 of PutItem and GetItem alone", Unit::Milliseconds, percentile(empty, 50.0))
            .with("writes achieved a second", Unit::PerSecond, self.achieved)
    }

    /// The baseline is how long a reader waits for the record. An empty loop of the endpoint is much shorter than the interval at which
    /// streams are read, and grows with the load of the machine: a ratio to it would say nothing of Tidemark.
    fn beside_the_reader(&self, row: Row) -> Row {
        let reader = format!("a reader of the stream of orders that calls GetRecords every {} ms", seen::READ_EVERY.as_millis());
        let pair = (row.measured.value, p50(&self.read));
        row.against(reader, &[pair])
    }
}

fn p50(probed: &[Probed]) -> f64 {
    percentile(probed.iter().map(|probed| probed.took).collect(), 50.0)
}
