//! A newer time-zone database that moves days of a zone is noticed by the first worker that has it, and stops nothing.
//!
//! There is one database in a test. So what an older or newer one would have stored is written by hand.

use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tidemark_domain::Zone;
use tidemark_domain::zone::{self, Offsets};
use tidemark_runtime::clock;
use tidemark_store::StoredZone;
use tidemark_tests::deployment::DEADLINE;
use tidemark_tests::{Deployment, Fault, When, oracle, wait_until};

const UNITS: (&str, &str) = ("sales", "units");
const BERLIN: &str = "Europe/Berlin";
/// Versions that order before and behind every real one.
const OLDER: &str = "1999a";
const NEWER: &str = "2999z";

fn berlin() -> Zone {
    Zone::named(BERLIN).unwrap()
}

fn order(id: &str, quantity: &str) -> Value {
    json!({
        "id": {"S": id}, "tenant_id": {"S": "acme"}, "order_date": {"S": clock::now().to_string()}, "quantity": {"N": quantity},
        "unit_price": {"N": "2.50"}, "item_number": {"S": "tea"}, "region": {"S": "north"}, "currency": {"S": "EUR"},
    })
}

/// Offsets of this binary's database, as a worker stores them.
fn own_offsets() -> Offsets {
    let from = Timestamp::from_second(946_684_800).unwrap();
    Offsets::of(&berlin(), from, clock::now() + SignedDuration::from_hours(2 * 365 * 24))
}

async fn store(deployment: &Deployment, tzdb: &str, offsets: &str, more: Value) {
    let mut item = json!({
        "pk": {"S": "ZONES"}, "sk": {"S": BERLIN}, "tzdb": {"S": tzdb}, "offsets": {"S": offsets},
        "until": {"N": own_offsets().until().as_second().to_string()},
    });
    item.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    deployment.put("tidemark", item).await;
}

async fn stored(deployment: &Deployment) -> Option<StoredZone> {
    deployment.store.stored_zone(&berlin()).await.unwrap()
}

/// What is stored once a worker that has just started has counted an order.
async fn counted(deployment: &Deployment, id: &str, total: &str) -> StoredZone {
    let ingest = deployment.start_ingest().await;
    deployment.put(oracle::TABLE, order(id, "1")).await;
    deployment.expect_total("acme", UNITS, None, total).await;
    ingest.stop().await;
    stored(deployment).await.expect("the zone is in use")
}

async fn deployed() -> Deployment {
    let deployment = Deployment::start(oracle::DEFINITIONS).await;
    deployment.create_tenant("acme", BERLIN).await;
    deployment
}

#[tokio::test]
async fn the_first_worker_stores_what_it_counts_by_and_the_next_one_changes_nothing() {
    let deployment = deployed().await;
    let first = counted(&deployment, "a", "1").await;
    assert_eq!((first.tzdb.as_str(), first.moved_at), (zone::database_version(), None));
    let (now, hours) = (clock::now(), |hours| SignedDuration::from_hours(hours));
    assert!(first.offsets.until() > now + hours(2 * 365 * 24), "for years");
    assert!(!first.offsets.moves(&own_offsets(), now + hours(24)));
    assert_eq!(counted(&deployment, "b", "2").await, first);
}

#[tokio::test]
async fn offsets_that_end_soon_are_stored_again() {
    let deployment = deployed().await;
    let soon = clock::now() + SignedDuration::from_hours(300 * 24);
    let more = json!({ "until": {"N": soon.as_second().to_string()}, "moved_at": {"S": "2026-01-02T03:04:05Z"} });
    store(&deployment, zone::database_version(), &own_offsets().to_string(), more).await;
    let found = counted(&deployment, "a", "1").await;
    assert!(found.offsets.until() > soon + SignedDuration::from_hours(365 * 24), "{found:?}");
    assert_eq!(found.moved_at, Some("2026-01-02T03:04:05Z".parse().unwrap()), "it is never removed");
}

#[tokio::test]
async fn a_newer_database_that_moves_days_is_noted_and_one_that_does_not_is_stored() {
    for (offsets, has_moved) in [(own_offsets().to_string(), false), ("946684800:0".to_owned(), true)] {
        let deployment = deployed().await;
        store(&deployment, OLDER, &offsets, json!({})).await;
        let begun = clock::now();
        let found = counted(&deployment, "a", "1").await;
        assert_eq!(found.tzdb, zone::database_version());
        assert!(!found.offsets.moves(&own_offsets(), clock::now()), "it is what is counted by from now on");
        assert_eq!(found.moved_at.is_some_and(|at| at >= begun && at <= clock::now()), has_moved, "{found:?}");
        assert_eq!(found.moved_at.is_some(), has_moved);
    }
}

#[tokio::test]
async fn a_later_move_counts_after_an_earlier_one() {
    let deployment = deployed().await;
    let earlier = "2026-01-02T03:04:05Z";
    store(&deployment, OLDER, &own_offsets().to_string(), json!({ "moved_at": {"S": earlier} })).await;
    assert_eq!(counted(&deployment, "a", "1").await.moved_at, Some(earlier.parse().unwrap()), "nothing has moved since");
    store(&deployment, OLDER, "946684800:0", json!({ "moved_at": {"S": earlier} })).await;
    let found = counted(&deployment, "b", "2").await;
    assert!(found.moved_at > Some(earlier.parse().unwrap()), "what was started again in between is wrong again: {found:?}");
}

/// Or they would replace each other's in turns during a rollout.
#[tokio::test]
async fn an_older_database_notes_a_move_and_replaces_nothing() {
    let deployment = deployed().await;
    store(&deployment, NEWER, "946684800:0", json!({})).await;
    let found = counted(&deployment, "a", "1").await;
    assert_eq!((found.tzdb.as_str(), found.offsets.to_string().as_str()), (NEWER, "946684800:0"));
    let moved_at = found.moved_at.expect("it is noted");
    assert_eq!(counted(&deployment, "b", "2").await.moved_at, Some(moved_at), "once");
    store(&deployment, NEWER, &own_offsets().to_string(), json!({})).await;
    let found = counted(&deployment, "c", "3").await;
    assert_eq!((found.tzdb.as_str(), found.moved_at), (NEWER, None));
}

#[tokio::test]
async fn a_check_that_fails_stops_no_counting_and_is_made_again() {
    let deployment = deployed().await;
    store(&deployment, OLDER, "946684800:0", json!({})).await;
    let front = deployment.world.front();
    let of_zones = |body: &Value| body["Key"]["pk"]["S"] == "ZONES";
    front.fault("GetItem", When::Matching(Box::new(of_zones)), Fault::Refused("AccessDeniedException"));
    let (begun, ingest) = (Instant::now(), deployment.start_ingest().await);
    for number in 1..=10 {
        deployment.put(oracle::TABLE, order(&format!("o{number}"), "1")).await;
        deployment.expect_total("acme", UNITS, None, &number.to_string()).await;
    }
    let refused = front.faults("GetItem");
    assert!((1..=1 + begun.elapsed().as_secs() / 5).contains(&refused), "not with every record: {refused}");
    assert_eq!(stored(&deployment).await.unwrap().moved_at, None);
    front.no_faults();
    let mut number = 10;
    wait_until("the check to be made again", DEADLINE, async || {
        number += 1;
        deployment.put(oracle::TABLE, order(&format!("o{number}"), "1")).await;
        stored(&deployment).await.unwrap().moved_at.is_some()
    })
    .await;
    deployment.expect_total("acme", UNITS, None, &number.to_string()).await;
    ingest.stop().await;
}
