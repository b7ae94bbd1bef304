//! How long after a write its number is visible and its alert arrives, on DynamoDB Local, while a shop's orders change at some rate.
//!
//! Every time begins when the PutItem of a probe is sent. Probes are put at random times, so that they meet every phase of the intervals
//! at which streams are read and answers are shared.

use std::time::Duration;

use crate::lab::{Lab, percentile};
use crate::row::{Endpoint, Goal, Row, Unit};

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
const SPAN_OF_LOWEST: Duration = Duration::from_secs(40);
/// The rate whose polled question has a goal, and the goal in ms.
const GOAL: (u32, f64) = (100, 350.0);

/// What one rate showed.
struct AtRate {
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
    let Some(mut shop) = Shop::open(lab).await? else {
        eprintln!("         freshness is left out: there is no DynamoDB Local (tests/dynamodb-local.sh COMMAND starts one)");
        return Ok(Vec::new());
    };
    let (mut freshness, mut alerts) = (Vec::new(), Vec::new());
    for rate in RATES {
        let span = if rate == RATES[0] { SPAN_OF_LOWEST } else { SPAN };
        let measured = shop.at_rate(lab, rate, lab.span(span)).await?;
        freshness.extend(measured.freshness());
        alerts.push(measured.alert());
    }
    freshness.extend(alerts);
    Ok(freshness)
}

impl AtRate {
    /// Written → visible.
    fn freshness(&self) -> [Row; 2] {
        let id = |way: &str| format!("freshness.rate-{:04}.{way}", self.rate);
        let visible = format!("{} writes asked for a second: written → visible, p50", self.rate);
        let fresh = format!("new questions, {visible}");
        let polled = format!("one question every {} ms, {visible}", seen::EVERY.as_millis());
        let fresh = self.row(id("fresh"), fresh, &self.fresh);
        let polled = self.row(id("polled"), polled, &self.polled);
        [fresh, if self.rate == GOAL.0 { polled.with_goal(Goal::Value(GOAL.1)) } else { polled }]
    }

    /// Written → received.
    fn alert(&self) -> Row {
        let what = format!("{} order writes asked for a second: stock written → alert received, p50", self.rate);
        self.row(format!("alert.rate-{:04}", self.rate), what, &self.alerts)
    }

    /// The baseline of all three is how long a reader waits for the record. An empty loop of the endpoint is much shorter than the interval at
    /// which streams are read, and grows with the load of the machine: a ratio to it would say nothing of Tidemark.
    fn row(&self, id: String, what: String, probed: &[Probed]) -> Row {
        let reader = format!("a reader of the stream of orders that calls GetRecords every {} ms", seen::READ_EVERY.as_millis());
        let took = probed.iter().map(|probed| probed.took).collect();
        let empty = probed.iter().map(|probed| probed.empty_loop).collect();
        Row::new(id, what, Endpoint::DynamodbLocal, Unit::Milliseconds, vec![p50(probed)])
            .against(reader, &[(p50(probed), p50(&self.read))])
            .with("p99", Unit::Milliseconds, percentile(took, 99.0))
            .with("p50 of PutItem and GetItem alone", Unit::Milliseconds, percentile(empty, 50.0))
            .with("writes achieved a second", Unit::PerSecond, self.achieved)
    }
}

fn p50(probed: &[Probed]) -> f64 {
    percentile(probed.iter().map(|probed| probed.took).collect(), 50.0)
}
