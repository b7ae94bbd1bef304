//! A tenant whose rules change faster than a shard commits.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};
use tidemark_domain::rule::{Severity, Threshold, Thresholds};
use tidemark_domain::{Rule, Standing};
use tidemark_runtime::clock;
use tidemark_store::LANES;
use tidemark_tests::deployment::DEADLINE;
use tidemark_tests::{Deployment, Fault, When, wait_until};
use tokio::task::JoinSet;

use super::{DEFINITIONS, key, level, rule, tenant};

/// A commit takes this long to reach the table, and the rules change more often than that.
const COMMIT: Duration = Duration::from_millis(100);
const CHANGES: Duration = Duration::from_millis(10);

fn tea(of: &str, on_hand: i64) -> Value {
    json!({
        "item_number": {"S": format!("{of}-tea")}, "location": {"S": "berlin"}, "tenant_id": {"S": of},
        "moved_at": {"N": clock::now().as_second().to_string()}, "on_hand": {"N": on_hand.to_string()},
    })
}

/// Whether a transaction checks the rules of the tenant `restless`.
fn checks_rules(body: &Value) -> bool {
    let mut parts = body["TransactItems"].as_array().into_iter().flatten();
    parts.any(|part| part["ConditionCheck"]["Key"]["pk"]["S"] == "T#restless#RULES")
}

/// Raises all lanes of the tenant `restless`, as writes of its rules do, again and again.
fn storm(deployment: &Deployment) -> JoinSet<()> {
    let client = deployment.world.dynamodb().clone();
    let mut storm = JoinSet::new();
    storm.spawn(async move {
        let mut pace = tokio::time::interval(CHANGES);
        for lane in (0..LANES).cycle() {
            if lane == 0 {
                pace.tick().await;
            }
            let raise = client.update_item().table_name("tidemark").update_expression("ADD version :one");
            let raise = raise.key("pk", AttributeValue::S("T#restless#RULES".to_owned()));
            let raise = raise.key("sk", AttributeValue::S(format!("LANE#{lane}")));
            raise.expression_attribute_values(":one", AttributeValue::N("1".to_owned())).send().await.unwrap();
        }
    });
    storm
}

async fn expect_on_hand(deployment: &Deployment, of: &str, expected: i64) {
    let key = key(of, &format!("{of}-tea"));
    let is_there = async || level(&deployment.store, &key).await.is_some_and(|row| row.level.on_hand == expected.into());
    wait_until(&format!("{expected} on hand of {of}"), DEADLINE, is_there).await;
}

#[tokio::test]
async fn a_tenant_whose_rules_change_all_the_time_holds_up_no_other_and_is_judged_by_its_last_rule() {
    let deployment = Deployment::start(DEFINITIONS).await;
    let store = &deployment.store;
    let before = rule(clock::now());
    store.create_rule(&tenant("restless"), &before, clock::now()).await.unwrap();
    deployment.world.front().fault("TransactWriteItems", When::Matching(Box::new(checks_rules)), Fault::Delay(COMMIT));
    let storm = storm(&deployment);
    for of in ["restless", "quiet"] {
        deployment.put("Stock", tea(of, 5)).await;
    }
    let ingest = deployment.start_ingest().await;
    expect_on_hand(&deployment, "quiet", 5).await;
    expect_on_hand(&deployment, "restless", 5).await;
    let tea_of_restless = key("restless", "restless-tea");
    let standing = async || level(store, &tea_of_restless).await.unwrap().standing;
    assert!(matches!(standing().await, Standing::Firing(_)), "it is judged by the rules that were read");
    drop(storm);
    deployment.world.front().no_faults();

    // By this rule, 5 is enough. Its own job says so.
    let lower = Threshold { severity: Severity::Warning, fires_at_or_below: 3.into(), clears_above: 4.into() };
    let after = Rule { thresholds: Thresholds::new(vec![lower]).unwrap(), ..before.clone() };
    store.update_rule(&tenant("restless"), &before, after, clock::now()).await.unwrap();
    wait_until("the alert to end", DEADLINE, async || standing().await == Standing::Clear).await;
    // The worker does not check the tenant's rules yet: it may decide these changes by the rule of before.
    for on_hand in [20, 5] {
        deployment.put("Stock", tea("restless", on_hand)).await;
        expect_on_hand(&deployment, "restless", on_hand).await;
    }
    wait_until("the level to be judged by the last rule", DEADLINE, async || standing().await == Standing::Clear).await;
    ingest.stop().await;
}
