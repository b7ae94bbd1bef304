//! A report for tests: rows of all kinds, with the values of COST.md.

use super::{Machine, Report};
use crate::row::{Endpoint, Goal, Row, Unit};

/// A report of some rows.
pub(super) fn report(rows: Vec<Row>) -> Report {
    let machine = Machine {
        cpu: "AMD EPYC 7B13".to_owned(),
        cores: 2,
        memory_gb: Some(25.2),
        os: "Debian GNU/Linux 12 (bookworm), Linux 6.1.0-9".to_owned(),
    };
    let started_at = "2026-11-30T10:07:31Z".parse().unwrap();
    Report::new(started_at, 512.4, machine, "3751a76f0e2f4ad59a4f1c2d3b4a59687f6e5d4c+".to_owned(), rows)
}

/// A report with every kind of row.
pub(super) fn full() -> Report {
    let local = Endpoint::DynamodbLocal;
    let update = "an unconditional UpdateItem per row per record";
    report(vec![
        Row::new(
            "cpu.minute.shards-4",
            "retail orders within a minute, both images, 4 shards",
            local,
            Unit::Microseconds,
            vec![101.0, 105.0, 110.0],
        )
        .against("GetRecords and nothing else", &[(101.0, 17.2), (105.0, 17.8), (110.0, 18.6)])
        .against(update, &[(101.0, 250.0), (105.0, 251.0), (110.0, 248.0)])
        .with_goal(Goal::Ratio(2.0))
        .with("wall", Unit::Microseconds, 140.0),
        Row::new("cpu.day.shards-4", "the same with order times spread over a day", local, Unit::Microseconds, vec![355.0])
            .against("GetRecords and nothing else", &[(355.0, 18.1)])
            .with_goal(Goal::Ratio(4.0)),
        Row::new(
            "writes.zipf.rate-1000",
            "write units per 1 000 records, Zipf, 1 000 records/s",
            local,
            Unit::WriteUnits,
            vec![1_740.0],
        )
        .against(update, &[(1_740.0, 12_300.0)])
        .with_goal(Goal::Value(300.0))
        .with("requests", Unit::Requests, 21.0),
        Row::new("freshness.rate-100", "written → visible at 100 writes/s, p50", local, Unit::Seconds, vec![0.2, 0.21, 0.23])
            .with_goal(Goal::Value(0.3))
            .with("p99", Unit::Seconds, 0.27)
            .with("wall", Unit::Seconds, 20.02),
        Row::new("values.total", "30-day total, a new question each time", local, Unit::Milliseconds, vec![3.06])
            .against("one axum handler with one SDK Query of the same size", &[(3.06, 1.06)])
            .with_goal(Goal::Ratio(1.4)),
        Row::new("values.unchanged", "304 within the sharing time", Endpoint::None, Unit::Milliseconds, vec![0.11])
            .against("one axum handler with one SDK Query of the same size", &[(0.11, 1.06)])
            .with_goal(Goal::Ratio(1.4)),
        Row::new("growth.shards-1000", "records a second, 1 000 shards", Endpoint::Stub, Unit::PerSecond, vec![40_000.0])
            .against("1 000 × the rate of one shard", &[(40_000.0, 52_000.0)])
            .with_goal(Goal::Ratio(0.8)),
        Row::new("idle.memory", "memory of an idle worker", Endpoint::None, Unit::Megabytes, vec![96.0])
            .with_goal(Goal::Value(64.0)),
        Row::new("idle.calls", "calls of an idle worker", Endpoint::Stub, Unit::PerMinute, vec![34.0])
            .against("no worker", &[(34.0, 0.0)]),
    ])
}
