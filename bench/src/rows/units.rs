//! Write units and requests per record, by the distribution of orders over items and by their rate.

use std::time::Duration;

use crate::backlog::{self, Backlog};
use crate::lab::{Lab, RETAIL, stop};
use crate::orders::{Dates, Items, Mix, Orders};
use crate::row::{Endpoint, Goal, Row, Unit};
use crate::stub::{Latency, Usage};
use futures::future::try_join_all;
use tidemark_tests::deployment::tables;

/// What each of the ten rows of a record costs a Lambda that adds to them without transactions: an UpdateItem of one unit.
const UPDATES_PER_RECORD: f64 = 10.0;
/// How long records come at a rate.
const SPAN: Duration = Duration::from_secs(20);
/// At the highest rate for a shorter time: it has many.
const SPAN_OF_HIGHEST: Duration = Duration::from_secs(10);
const HIGHEST: u32 = 1_000;

const SPREADS: [(&str, &str, Items); 3] = [
    ("uniform", "200 items, uniform", Items::Uniform(200)),
    ("zipf", "200 items, Zipf", Items::Zipf(200)),
    ("one", "one item", Items::Uniform(1)),
];

pub(super) async fn measure(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    let mut rows = backlogs(lab).await?;
    // The slow rates need little of the machine, so they are measured at the same time. The fast ones are not: with less of the machine for
    // each, more records would come for each commit.
    let slow: Vec<_> = [1, 10, 100].into_iter().flat_map(|rate| SPREADS.map(|spread| (rate, spread))).collect();
    let fast = SPREADS.map(|spread| vec![(HIGHEST, spread)]);
    for runs in std::iter::once(slow).chain(fast) {
        let measured = runs.into_iter().map(|(rate, (id, what, items))| async move {
            let mix = Mix { items, dates: Dates::Now, tenants: 1 };
            let (records, usage) = at_rate(lab, mix, rate).await?;
            let row = row(&format!("units.{id}.rate-{rate:04}"), &format!("{what}, {rate} records a second"), records, &usage);
            // A lone change: each row is written once, and nothing can be folded.
            anyhow::Ok(if rate == 1 { row.with_goal(Goal::Value(10_000.0)) } else { row })
        });
        rows.extend(try_join_all(measured).await?);
    }
    Ok(rows)
}

/// Two backlogs: few rows with many records each, and many rows.
async fn backlogs(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (id, what, dates, records, goal) in [
        ("units.backlog.minute", "backlog, orders of one minute, Zipf", Dates::Minute, 20_000, 300.0),
        ("units.backlog.day", "backlog, orders of one day, Zipf", Dates::Days(1), 10_000, 4_000.0),
    ] {
        let deployment = lab.on_stub(RETAIL, 1, Latency::REGION).await?;
        let mut workers = vec![deployment.start_ingest(lab).await?];
        let (data, mix) = (tables().data, Mix { items: Items::Zipf(200), dates, tenants: 1 });
        let items = deployment.stub().items(&data);
        let backlog = Backlog { name: id, mix, records: lab.amount(records) };
        let drained = backlog::drain(lab, &deployment, &mut workers, backlog).await?;
        stop(workers).await?;
        let floor = 2.0 * (deployment.stub().items(&data) - items) as f64 * 1000.0 / drained.records as f64;
        let row = row(id, what, drained.records, &drained.usage).with_goal(Goal::Value(goal));
        let pair = (row.measured.value, floor);
        rows.push(row.against("each row written once", &[pair]));
    }
    Ok(rows)
}

/// Hands over records at a rate. How many they were, and what they cost.
async fn at_rate(lab: &Lab, mix: Mix, per_second: u32) -> anyhow::Result<(usize, Usage)> {
    let deployment = lab.on_stub(RETAIL, 1, Latency::REGION).await?;
    let workers = [deployment.start_ingest(lab).await?];
    let mut orders = Orders::new(mix)?;
    let span = if per_second == HIGHEST { SPAN_OF_HIGHEST } else { SPAN };
    let (handed, usage) = backlog::hand_over(lab, &deployment, &workers, &mut orders, (per_second, span)).await?;
    stop(workers).await?;
    Ok((handed, usage))
}

/// Per 1 000 records.
fn row(id: &str, what: &str, records: usize, usage: &Usage) -> Row {
    let per_thousand = |amount: f64| amount * 1000.0 / records as f64;
    let (commits, writes, reads) = (usage.of("TransactWriteItems"), usage.writes(), usage.reads());
    let units = per_thousand(commits.units);
    Row::new(id, format!("{what}: per 1 000 records"), Endpoint::Stub, Unit::WriteUnits, vec![units])
        .against("one UpdateItem per row and record", &[(units, UPDATES_PER_RECORD * 1000.0)])
        .with("commits", Unit::Requests, per_thousand(commits.requests as f64))
        .with("leases, positions and heartbeats", Unit::WriteUnits, per_thousand(writes.units - commits.units))
        .with("GetRecords", Unit::Requests, per_thousand(usage.of("GetRecords").requests as f64))
        .with("reads", Unit::ReadUnits, per_thousand(reads.units))
}
