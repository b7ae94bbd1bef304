//! The World tested itself: its faults really happen, and worlds do not meet.

use std::time::{Duration, Instant};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, Put, ScalarAttributeType, TransactWriteItem,
};
use tidemark_tests::{Fault, When, World, wait_until};

const TABLE: &str = "things";
const SOON: Duration = Duration::from_secs(10);

/// A world with an empty table, keyed by `id`.
async fn world() -> World {
    let world = World::start().await;
    let id = AttributeDefinition::builder().attribute_name("id").attribute_type(ScalarAttributeType::S).build().unwrap();
    let key = KeySchemaElement::builder().attribute_name("id").key_type(KeyType::Hash).build().unwrap();
    let create = world.dynamodb().create_table().table_name(TABLE).billing_mode(BillingMode::PayPerRequest);
    create.attribute_definitions(id).key_schema(key).send().await.unwrap();
    world
}

/// A client through the front that shows every fault, for it does not retry.
fn plain_client(world: &World) -> Client {
    let config = aws_sdk_dynamodb::config::Builder::from(&world.config()).retry_config(RetryConfig::disabled()).build();
    Client::from_conf(config)
}

async fn put(client: &Client, id: &str) -> Result<(), Box<PutItemError>> {
    let put = client.put_item().table_name(TABLE).item("id", AttributeValue::S(id.to_owned())).send().await;
    put.map(|_| ()).map_err(|error| Box::new(error.into_service_error()))
}

async fn is_written(world: &World, id: &str) -> bool {
    let get = world.dynamodb().get_item().table_name(TABLE).key("id", AttributeValue::S(id.to_owned())).consistent_read(true);
    get.send().await.unwrap().item.is_some()
}

#[tokio::test]
async fn calls_pass_through_unchanged_and_are_counted() {
    let world = world().await;
    put(&plain_client(&world), "a").await.unwrap();
    assert!(is_written(&world, "a").await);
    assert_eq!(world.front().calls("PutItem"), 1);
    assert_eq!(world.front().faults("PutItem"), 0);
    assert_eq!(world.front().calls("GetItem"), 0, "the test's own client goes past the front");
}

#[tokio::test]
async fn commit_then_drop_leaves_the_write_and_an_error() {
    let world = world().await;
    world.front().fault("PutItem", When::Nth(2), Fault::CommitThenDrop);
    let client = plain_client(&world);
    put(&client, "a").await.unwrap();
    put(&client, "b").await.unwrap_err();
    put(&client, "c").await.unwrap();
    assert!(is_written(&world, "b").await);
    assert_eq!(world.front().faults("PutItem"), 1);
}

#[tokio::test]
async fn reset_leaves_an_error_and_no_write() {
    let world = world().await;
    world.front().fault("PutItem", When::Next(1), Fault::Reset);
    put(&plain_client(&world), "a").await.unwrap_err();
    assert!(!is_written(&world, "a").await);
}

#[tokio::test]
async fn throttle_is_the_services_own_error() {
    let world = world().await;
    world.front().fault("PutItem", When::Next(1), Fault::Throttle);
    let error = put(&plain_client(&world), "a").await.unwrap_err();
    assert!(error.is_provisioned_throughput_exceeded_exception(), "{error:?}");
    assert!(!is_written(&world, "a").await);
}

#[tokio::test]
async fn server_error_is_the_services_own_error() {
    let world = world().await;
    world.front().fault("PutItem", When::Next(1), Fault::ServerError);
    let error = put(&plain_client(&world), "a").await.unwrap_err();
    assert!(error.is_internal_server_error(), "{error:?}");
    assert!(!is_written(&world, "a").await);
}

#[tokio::test]
async fn conflict_gives_a_reason_for_each_item() {
    let world = world().await;
    world.front().fault("TransactWriteItems", When::Next(1), Fault::TransactionConflict);
    world.front().fault("PutItem", When::Next(1), Fault::TransactionConflict);
    let client = plain_client(&world);
    let item = |id: &str| {
        let put = Put::builder().table_name(TABLE).item("id", AttributeValue::S(id.to_owned())).build().unwrap();
        TransactWriteItem::builder().put(put).build()
    };
    let write = client.transact_write_items().transact_items(item("a")).transact_items(item("b"));
    let error = write.clone().send().await.unwrap_err().into_service_error();
    let TransactWriteItemsError::TransactionCanceledException(cancelled) = error else { panic!("{error:?}") };
    let codes: Vec<_> = cancelled.cancellation_reasons().iter().filter_map(|reason| reason.code()).collect();
    assert_eq!(codes, ["TransactionConflict", "None"]);
    assert!(!is_written(&world, "a").await);

    let error = put(&client, "c").await.unwrap_err();
    assert!(error.is_transaction_conflict_exception(), "{error:?}");

    write.send().await.unwrap();
    assert!(is_written(&world, "a").await && is_written(&world, "b").await);
}

#[tokio::test]
async fn a_delayed_call_arrives_after_its_client_has_given_up() {
    let world = world().await;
    let delay = Duration::from_secs(2);
    world.front().fault("PutItem", When::Next(1), Fault::Delay(delay));
    let client = plain_client(&world);
    let begun = Instant::now();
    tokio::time::timeout(Duration::from_millis(100), put(&client, "late")).await.unwrap_err();
    assert!(!is_written(&world, "late").await);
    wait_until("the late write arrives", SOON, async || is_written(&world, "late").await).await;
    assert!(begun.elapsed() >= delay);
}

#[tokio::test]
async fn a_late_call_arrives_after_others_or_when_the_test_says() {
    let world = world().await;
    world.front().fault("PutItem", When::Nth(1), Fault::Late(2));
    world.front().fault("PutItem", When::Nth(4), Fault::Late(2));
    let client = plain_client(&world);
    put(&client, "late").await.unwrap_err();
    put(&client, "a").await.unwrap();
    assert!(!is_written(&world, "late").await, "one other call is not enough");
    put(&client, "b").await.unwrap();
    assert!(is_written(&world, "late").await);
    put(&client, "later").await.unwrap_err();
    assert!(!is_written(&world, "later").await);
    world.front().late_calls_arrive().await;
    assert!(is_written(&world, "later").await);
}

#[tokio::test]
#[should_panic(expected = "the arrival of 1 late calls")]
async fn a_late_call_that_never_arrives_fails_the_test() {
    let world = world().await;
    world.front().fault("PutItem", When::Nth(1), Fault::Late(1));
    put(&plain_client(&world), "late").await.unwrap_err();
}

#[tokio::test]
async fn the_shared_configuration_retries() {
    let world = world().await;
    let client = Client::new(&world.config());
    for fault in [Fault::Throttle, Fault::ServerError, Fault::Reset] {
        world.front().fault("PutItem", When::Next(2), fault);
        put(&client, "a").await.unwrap();
    }
    assert_eq!(world.front().calls("PutItem"), 9, "two failures and a success each");
    assert_eq!(world.front().faults("PutItem"), 6);
}

#[tokio::test]
async fn a_pattern_picks_calls_by_their_body() {
    let world = world().await;
    let is_b = |body: &serde_json::Value| body["Item"]["id"]["S"] == "b";
    world.front().fault("PutItem", When::Matching(Box::new(is_b)), Fault::Throttle);
    let client = plain_client(&world);
    put(&client, "a").await.unwrap();
    for _ in 0..2 {
        assert_eq!(put(&client, "b").await.unwrap_err().code(), Some("ProvisionedThroughputExceededException"));
    }
    world.front().no_faults();
    put(&client, "b").await.unwrap();
}

#[tokio::test]
async fn one_seed_draws_the_same_faults() {
    let mut runs = Vec::new();
    for seed in [7, 7, 8] {
        let world = world().await;
        world.front().random_faults(seed, 500, &["PutItem"]);
        let client = plain_client(&world);
        let mut outcomes = Vec::new();
        for _ in 0..30 {
            outcomes.push(put(&client, "a").await.is_ok());
        }
        let faults = world.front().faults("PutItem");
        assert!((5..=25).contains(&faults), "{faults} of 30 at a probability of one half");
        runs.push(outcomes);
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
}

#[tokio::test]
async fn worlds_do_not_meet() {
    let (one, other) = (world().await, world().await);
    put(&plain_client(&one), "a").await.unwrap();
    assert!(!is_written(&other, "a").await);
}

#[tokio::test]
#[should_panic(expected = "these scripted faults never happened")]
async fn a_scripted_fault_that_never_happens_fails_the_test() {
    let world = World::start().await;
    world.front().fault("PutItm", When::Nth(1), Fault::Reset);
}

#[tokio::test]
#[should_panic(expected = "the tide turns: not within 50ms")]
async fn waiting_ends_at_the_deadline() {
    wait_until("the tide turns", Duration::from_millis(50), async || false).await;
}
