//! Rules that a worker remembers: one book for all lanes, and never an older one with a newer check.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use tidemark_domain::{Decimal, Level};
use tidemark_ingest::{Effect, Fold, LevelChange, StockReader, Writing};
use tidemark_store::{RulesLane, Store};
use tidemark_tests::Wire;
use tidemark_tests::deployment::tables;
use tidemark_tests::wire::Call;
use tokio::sync::watch;

use super::{key, rule, tenant};

/// Two shards whose commits check the rules in different lanes.
fn lanes() -> [RulesLane; 2] {
    let first = RulesLane::of("shard-0");
    let other = (1..).map(|number| RulesLane::of(&format!("shard-{number}"))).find(|lane| *lane != first);
    [first, other.unwrap()]
}

fn reads_rules(call: &Call) -> bool {
    call.name == "Query" && call.request["ExpressionAttributeValues"][":pk"]["S"] == "T#demo#RULES"
}

/// How many events a batch has by which 5 are left, as these rules decide it.
async fn events(reader: &StockReader, lane: RulesLane, now: Timestamp) -> usize {
    let level = Level { on_hand: 5.into(), committed: Decimal::zero(), incoming: Decimal::zero(), reorder_point: None };
    let levels = vec![LevelChange { key: key("demo", "tea"), level: Some(level), at: now }];
    let stock = reader.read(&BTreeSet::from([key("demo", "tea")]), lane).await.unwrap();
    let fold = Fold::decided(&[Effect { levels, ..Effect::default() }], stock);
    let writing = Writing { stream: "", now, alert_max_age: SignedDuration::MAX, traceparent: None };
    fold.writes(|_| 0, &writing).unwrap().decisions.events.len()
}

#[tokio::test(start_paused = true)]
async fn rules_that_were_read_first_and_came_last_are_not_another_lanes() {
    let now: Timestamp = "2026-03-02T09:00:00Z".parse().unwrap();
    let wire = Wire::start(1, 5, now);
    let store = Store::new(&wire.config(), tables());
    store.create_data_table().await.unwrap();
    let [slow, fast] = lanes();
    // The first answer about the rules is on its way until it is let go; `true`: it has been given.
    let (given, let_go) = (watch::Sender::new(false), watch::Sender::new(false));
    let hook = (given.clone(), let_go.clone());
    let held = wire.with_hook(move |call| {
        let (given, mut let_go) = (hook.0.clone(), hook.1.subscribe());
        async move {
            let answer = call.carry_out().await;
            if reads_rules(&call) && !given.send_replace(true) {
                let_go.wait_for(|let_go| *let_go).await.unwrap();
            }
            Ok(answer)
        }
    });
    let reader = StockReader::new(Store::new(&held.config(), tables()));
    let others = async {
        given.subscribe().wait_for(|given| *given).await.unwrap();
        store.create_rule(&tenant("demo"), &rule(now), now).await.unwrap();
        assert_eq!(events(&reader, fast, now).await, 1, "read after the rule was written");
        let_go.send_replace(true);
    };
    let (by_none, ()) = tokio::join!(events(&reader, slow, now), others);
    assert_eq!(by_none, 0, "it was read before; its check will say so");
    assert_eq!(events(&reader, fast, now).await, 1, "what was read before is not what this lane's check stands for");
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_is_read_later_keeps_the_checks_of_the_others() {
    let now: Timestamp = "2026-03-02T09:00:00Z".parse().unwrap();
    let wire = Wire::start(1, 5, now);
    Store::new(&wire.config(), tables()).create_data_table().await.unwrap();
    let reads = watch::Sender::new(0);
    let counted = reads.clone();
    let counting = wire.with_hook(move |call| {
        counted.send_modify(|reads| *reads += usize::from(reads_rules(&call)));
        async move { Ok(call.carry_out().await) }
    });
    let reader = StockReader::new(Store::new(&counting.config(), tables()));
    let [first, second] = lanes();
    for lane in [first, second, first, second, first] {
        assert_eq!(events(&reader, lane, now).await, 0);
    }
    assert_eq!(*reads.borrow(), 2, "once in each lane");
}
