//! The in-process wire: a whole worker in virtual time, without sockets.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::{AttributeValue, ConditionCheck, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem};
use aws_smithy_runtime_api::client::http::HttpConnector;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use serde_json::json;
use tidemark_domain::Definitions;
use tidemark_ingest::{Ingest, Settings};
use tidemark_runtime::clock;
use tidemark_runtime::health::Health;
use tidemark_store::Store;
use tidemark_streams::Streams;
use tidemark_tests::deployment::{item_of, settings, tables};
use tidemark_tests::wire::{Answer, Lost};
use tidemark_tests::{Wire, oracle, wait_until};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Virtual: no test waits for it.
const LONG: Duration = Duration::from_secs(60);

/// A DynamoDB in this process with Tidemark's tables and the oracle's source.
async fn wire(shards: usize) -> Wire {
    let wire = Wire::start(shards, 5, clock::now());
    let (store, streams) = (Store::new(&wire.config(), tables()), Streams::new(&wire.config(), tables().control));
    store.create_data_table().await.unwrap();
    streams.create_control_table().await.unwrap();
    streams.create_source_table(oracle::TABLE, "id", None).await.unwrap();
    wire
}

async fn put(wire: &Wire, id: usize, quantity: &str) {
    let item = json!({
        "id": {"S": format!("order-{id}")}, "order_date": {"S": wire.now().to_string()}, "item_number": {"S": "tea"},
        "quantity": {"N": quantity}, "unit_price": {"N": "1.50"},
    });
    let put = aws_sdk_dynamodb::Client::new(&wire.config()).put_item().table_name(oracle::TABLE);
    put.set_item(Some(item_of(&item))).send().await.unwrap();
}

/// The units of the day rows of all orders.
async fn units(wire: &Wire) -> i64 {
    let client = aws_sdk_dynamodb::Client::new(&wire.config());
    let rows = client.scan().table_name(tables().data).send().await.unwrap();
    let of_total = rows.items().iter().filter(|row| row["pk"].as_s().unwrap().starts_with("T#demo#M#sales.*#g1#d"));
    of_total.filter_map(|row| row.get("m_units")).map(|units| units.as_n().unwrap().parse::<i64>().unwrap()).sum()
}

#[tokio::test(start_paused = true)]
async fn a_worker_lives_for_minutes_of_virtual_time_in_a_moment() {
    let (begun, virtually) = (Instant::now(), tokio::time::Instant::now());
    let quiet = wire(2).await;
    let dropped = Arc::new(AtomicU64::new(0));
    // Every call takes 20 ms, and each 30th is carried out and its answer lost.
    let calls = AtomicU64::new(0);
    let lost = Arc::clone(&dropped);
    let slow = quiet.with_hook(move |call| {
        let (is_lost, lost) = (calls.fetch_add(1, Ordering::Relaxed) % 30 == 29, Arc::clone(&lost));
        async move {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let answer = call.carry_out().await;
            tokio::time::sleep(Duration::from_millis(10)).await;
            if is_lost {
                lost.fetch_add(1, Ordering::Relaxed);
                return Err(Lost);
            }
            Ok(answer)
        }
    });
    let definitions = Definitions::parse(oracle::DEFINITIONS).unwrap();
    let settings = Settings { lease_ttl: Duration::from_secs(15), ..settings() };
    let ingest = Ingest::start(&slow.config(), &settings, &definitions).await.unwrap();
    let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
    tasks.spawn(ingest.run(Health::starting(), stop.clone()));
    for id in 0..12 {
        put(&quiet, id, "3").await;
        if id == 6 {
            quiet.shards(oracle::TABLE).rotate_all().await;
        }
    }
    wait_until("the orders to be counted", LONG, async || units(&quiet).await == 36).await;
    put(&quiet, 0, "10").await;
    wait_until("the edit to be counted", LONG, async || units(&quiet).await == 43).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(units(&quiet).await, 43);
    stop.cancel();
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    assert!(dropped.load(Ordering::Relaxed) > 3, "answers were lost");
    let (took, passed) = (begun.elapsed(), virtually.elapsed());
    assert!(passed > Duration::from_secs(60) && took < passed / 2, "{passed:?} of virtual time took {took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_transaction_gives_its_reasons_and_items() {
    let wire = wire(1).await;
    put(&wire, 1, "3").await;
    let client = aws_sdk_dynamodb::Client::new(&wire.config());
    let id = |id: &str| AttributeValue::S(id.to_owned());
    let check = ConditionCheck::builder()
        .table_name(oracle::TABLE)
        .key("id", id("order-1"))
        .condition_expression("attribute_not_exists(id)")
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    let put = Put::builder().table_name(oracle::TABLE).item("id", id("order-2")).build().unwrap();
    let write = client
        .transact_write_items()
        .transact_items(TransactWriteItem::builder().put(put).build())
        .transact_items(TransactWriteItem::builder().condition_check(check.build().unwrap()).build());
    let error = write.send().await.unwrap_err().into_service_error();
    assert!(error.is_transaction_canceled_exception(), "{error:?}");
    let aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError::TransactionCanceledException(cancelled) =
        error
    else {
        panic!("{error:?}")
    };
    let codes: Vec<_> = cancelled.cancellation_reasons().iter().map(|reason| reason.code().unwrap()).collect();
    assert_eq!(codes, ["None", "ConditionalCheckFailed"]);
    let item = cancelled.cancellation_reasons()[1].item().unwrap();
    assert_eq!(item["quantity"], AttributeValue::N("3".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_hook_can_refuse_a_call_and_break_its_connection() {
    let wire = wire(1).await;
    let get = async |wire: &Wire| {
        let client = aws_sdk_dynamodb::Client::new(&wire.config());
        client.get_item().table_name(oracle::TABLE).key("id", AttributeValue::S("a".to_owned())).send().await
    };
    get(&wire).await.unwrap();
    let throttled = wire.with_hook(async |_| {
        Ok(Answer::refusal(400, "ProvisionedThroughputExceededException", json!({ "message": "slower, please" })))
    });
    assert_eq!(get(&throttled).await.unwrap_err().code(), Some("ProvisionedThroughputExceededException"));
    let broken = wire.with_hook(async |_| Err(Lost));
    let error = get(&broken).await.unwrap_err();
    assert!(matches!(&error, SdkError::DispatchFailure(failure) if failure.is_io()), "{error:?}");
    let silent = wire.with_hook(async |call| {
        tokio::time::sleep(LONG).await;
        Ok(call.carry_out().await)
    });
    assert!(matches!(get(&silent).await.unwrap_err(), SdkError::TimeoutError(_)), "the SDK's time-outs run in virtual time");
}

#[tokio::test(start_paused = true)]
async fn each_answer_bears_the_second_in_which_it_was_made() {
    let way_back = Duration::from_millis(1_900);
    let wire = Wire::start(1, 5, "2026-03-02T09:00:00.7Z".parse().unwrap()).with_hook(move |call| async move {
        if call.name == "GetItem" {
            tokio::time::sleep(way_back).await;
            return Ok(Answer::refusal(400, "ValidationException", json!({})));
        }
        let answer = call.carry_out().await;
        tokio::time::sleep(way_back).await;
        Ok(answer)
    });
    let mut dates = Vec::new();
    for target in ["DynamoDB_20120810.ListTables", "DynamoDBStreams_20120810.ListStreams", "DynamoDB_20120810.GetItem"] {
        let mut request = HttpRequest::new(SdkBody::from("{}"));
        request.headers_mut().insert("x-amz-target", target);
        dates.push(wire.call(request).await.unwrap().headers().get("date").unwrap().to_owned());
    }
    // The last one is refused on its way, and so when it arrives.
    let expected = ["09:00:00", "09:00:02", "09:00:06"].map(|time| format!("Mon, 02 Mar 2026 {time} GMT"));
    assert_eq!(dates, expected);
}
