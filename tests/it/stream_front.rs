//! Workers over streams of several shards, which rotate and split while they are read; and the stream front itself.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_dynamodbstreams::error::ProvideErrorMetadata;
use aws_sdk_dynamodbstreams::types::{ShardIteratorType, StreamStatus};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tidemark_runtime::clock;
use tidemark_tests::deployment::DEADLINE;
use tidemark_tests::{Deployment, Fault, When, World, oracle, wait_until};

const ZONES: [(&str, &str); 2] = [("demo", "UTC"), ("acme", "Europe/Berlin")];

fn order(random: &mut StdRng) -> Value {
    let at = clock::now() - jiff::SignedDuration::from_hours(random.random_range(0..200));
    let product = ["tea", "mug", "a#b%"][random.random_range(0..3)];
    json!({
        "id": {"S": format!("order-{}", random.random_range(0..60))},
        "tenant_id": {"S": ZONES[random.random_range(0..ZONES.len())].0},
        "order_date": {"S": at.to_string()},
        "item_number": {"S": product},
        "quantity": {"N": random.random_range(-5..50).to_string()},
        "unit_price": {"N": format!("{}.25", random.random_range(0..90))},
    })
}

/// Writes so many changes; one in eight is a deletion.
async fn write(deployment: &Deployment, random: &mut StdRng, count: usize) {
    for _ in 0..count {
        let order = order(random);
        if random.random_ratio(1, 8) {
            deployment.delete(oracle::TABLE, json!({ "id": order["id"] })).await;
        } else {
            deployment.put(oracle::TABLE, order).await;
        }
    }
}

async fn start(shards: usize) -> Deployment {
    let deployment = Deployment::start_with_shards(oracle::DEFINITIONS, shards).await;
    for (tenant, zone) in ZONES {
        deployment.create_tenant(tenant, zone).await;
    }
    deployment
}

/// Waits for the workers to be done, then compares every stored number with a recomputation.
async fn check(deployment: &Deployment) {
    deployment.settled("orders").await;
    let scan = deployment.world.dynamodb().scan().table_name(oracle::TABLE).consistent_read(true).send().await.unwrap();
    assert!(scan.last_evaluated_key.is_none());
    let expected = oracle::expected(scan.items(), &BTreeMap::from(ZONES), clock::now());
    assert!(!expected.is_empty());
    assert_eq!(oracle::stored(deployment).await, expected);
}

#[tokio::test]
async fn totals_are_exact_while_four_shards_rotate_and_split_under_load() {
    let deployment = start(4).await;
    let shards = deployment.world.shards(oracle::TABLE);
    // Small pages, so that shards end with pages in between; children that are listed late, so that linking has to wait.
    shards.rule(|rules| (rules.records_max, rules.late_listings, rules.empty_pages) = (10, 2, 1)).await;
    let mut random = StdRng::seed_from_u64(11);
    let (one, other) = (deployment.start_ingest().await, deployment.start_ingest().await);
    for round in 0..6 {
        // Every other round children are listed while their parents still look open.
        shards.rule(|rules| rules.parents_look_open = round % 2 == 0).await;
        write(&deployment, &mut random, 40).await;
        let open = shards.open().await;
        match round % 3 {
            0 => drop(shards.split(&open[random.random_range(0..open.len())]).await),
            1 => shards.rotate_all().await,
            _ => shards.expire_iterators().await,
        }
    }
    write(&deployment, &mut random, 40).await;
    check(&deployment).await;
    let mut read_from = 0;
    for shard in shards.all().await {
        read_from += usize::from(shards.records_of(&shard).await > 0);
    }
    assert!(read_from > 8, "{read_from} shards had records: too few to prove anything");
    one.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn totals_are_exact_when_calls_to_the_streams_fail() {
    let deployment = start(3).await;
    let front = deployment.world.front();
    let ingest = deployment.start_ingest().await;
    let mut random = StdRng::seed_from_u64(12);
    for (call, fault) in [
        ("GetRecords", Fault::Throttle),
        ("GetRecords", Fault::CommitThenDrop),
        ("GetRecords", Fault::Delay(Duration::from_millis(50))),
        ("GetShardIterator", Fault::Reset),
        ("DescribeStream", Fault::ServerError),
    ] {
        let before = front.faults(call);
        front.fault(call, When::Next(3), fault);
        write(&deployment, &mut random, 20).await;
        deployment.world.shards(oracle::TABLE).rotate_all().await;
        // One kind after the other: a call that two rules apply to meets only the first.
        let what = format!("three times {fault:?} of {call}");
        wait_until(&what, DEADLINE, async || front.faults(call) == before + 3).await;
    }
    check(&deployment).await;
    ingest.stop().await;
}

#[tokio::test]
async fn shards_beyond_the_first_page_of_a_listing_are_read_too() {
    let deployment = start(5).await;
    let shards = deployment.world.shards(oracle::TABLE);
    // Pages of two instead of a hundred, and no filter, so that children too are found only on a later page.
    shards.rule(|rules| (rules.listed_max, rules.honours_child_filter) = (2, false)).await;
    let ingest = deployment.start_ingest().await;
    let mut random = StdRng::seed_from_u64(13);
    write(&deployment, &mut random, 60).await;
    shards.rotate_all().await;
    write(&deployment, &mut random, 60).await;
    check(&deployment).await;
    for shard in shards.all().await {
        assert!(shards.records_of(&shard).await > 0, "{shard} proves nothing");
    }
    ingest.stop().await;
}

#[tokio::test]
async fn a_table_names_the_stream_that_is_on_through_the_front_and_past_it() {
    let deployment = start(2).await;
    let world = &deployment.world;
    let clients = [world.config(), world.direct_config()]
        .map(|config| (aws_sdk_dynamodb::Client::new(&config), aws_sdk_dynamodbstreams::Client::new(&config)));
    for replaced in [false, true] {
        let shards = world.shards(oracle::TABLE);
        let arn = if replaced { shards.new_arn().await } else { shards.arn().await };
        for (dynamodb, streams) in &clients {
            let table = dynamodb.describe_table().table_name(oracle::TABLE).send().await.unwrap().table.unwrap();
            assert_eq!(table.latest_stream_arn(), Some(arn.as_str()));
            assert!(arn.ends_with(table.latest_stream_label().unwrap()), "{arn}");
            let stream = streams.describe_stream().stream_arn(&arn).send().await.unwrap().stream_description.unwrap();
            assert_eq!(stream.shards().len(), 2);
            assert_eq!(stream.stream_status(), Some(&StreamStatus::Enabled));
            let age = stream.creation_request_date_time.unwrap().as_secs_f64() - table.creation_date_time.unwrap().as_secs_f64();
            assert!(replaced || age.abs() < 1.0, "the first stream is as old as its table: {age}");
            let listed = streams.list_streams().table_name(oracle::TABLE).send().await.unwrap();
            assert_eq!(listed.streams().len(), if replaced { 2 } else { 1 });
        }
    }
    let data = clients[0].0.describe_table().table_name("tidemark").send().await.unwrap().table.unwrap();
    assert_eq!(data.latest_stream_arn(), None, "a table without a stream is passed through");
}

#[tokio::test]
async fn the_models_refusals_are_the_services_own_errors() {
    let deployment = start(1).await;
    deployment.put(oracle::TABLE, order(&mut StdRng::seed_from_u64(1))).await;
    let shards = deployment.world.shards(oracle::TABLE);
    let (arn, shard) = (shards.arn().await, shards.open().await.remove(0));
    let streams = aws_sdk_dynamodbstreams::Client::new(&deployment.world.config());
    let iterator = async || {
        let request = streams.get_shard_iterator().stream_arn(&arn).shard_id(&shard);
        request.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await.unwrap().shard_iterator.unwrap()
    };
    let refusal = async |iterator: &str| {
        let error = streams.get_records().shard_iterator(iterator).send().await.unwrap_err();
        error.code().unwrap().to_owned()
    };
    let first = iterator().await;
    let records = streams.get_records().shard_iterator(&first).send().await.unwrap().records.unwrap();
    assert_eq!(records.len(), 1);
    shards.trim(&shard, 1).await;
    assert_eq!(refusal(&first).await, "TrimmedDataAccessException");
    shards.expire_iterators().await;
    assert_eq!(refusal(&first).await, "ExpiredIteratorException");
    let second = iterator().await;
    shards.vanish(&shard).await;
    assert_eq!(refusal(&second).await, "ResourceNotFoundException");
    assert_eq!(deployment.world.front().calls("GetRecords"), 4, "they are counted like other calls");
}

#[tokio::test]
#[should_panic(expected = "a world started with shards")]
async fn a_world_without_a_stream_front_has_no_shards_to_command() {
    World::start().await.shards(oracle::TABLE);
}
