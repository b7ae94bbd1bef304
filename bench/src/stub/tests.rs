//! The stub behaves as AWS does where the rows depend on it.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, Put, ScalarAttributeType, TransactWriteItem,
};
use aws_sdk_dynamodbstreams::types::ShardIteratorType;
use tidemark_runtime::aws;

use super::*;
use crate::orders::{Dates, Items, Mix, Orders};

/// `limits` identifies the items of this table by their key alone.
const TABLE: &str = "tidemark";

/// A stub with one table that has the key `pk`, and a client of its counted entrance.
async fn with_table(latency: Latency) -> (Stub, Client) {
    let stub = Stub::start(latency).await.expect("a stub");
    let key = KeySchemaElement::builder().attribute_name("pk").key_type(KeyType::Hash).build().expect("a key");
    let attribute = AttributeDefinition::builder().attribute_name("pk").attribute_type(ScalarAttributeType::S).build();
    let create = Client::new(&aws::at_endpoint(stub.direct_url(), "k")).create_table().table_name(TABLE).key_schema(key);
    let create = create.attribute_definitions(attribute.expect("an attribute")).billing_mode(BillingMode::PayPerRequest);
    create.send().await.expect("a table");
    let client = Client::new(&aws::at_endpoint(stub.url(), "k"));
    (stub, client)
}

fn put(key: &str, bytes: usize) -> TransactWriteItem {
    let text = |text: String| AttributeValue::S(text);
    let put = Put::builder().table_name(TABLE).item("pk", text(key.to_owned())).item("a", text("x".repeat(bytes)));
    TransactWriteItem::builder().put(put.build().expect("a put")).build()
}

#[tokio::test]
async fn units_are_those_of_aws() {
    let (stub, client) = with_table(Latency::default()).await;
    // Two items below 1 KB and one of 2 started KB, twice in a transaction.
    let transaction = client.transact_write_items().transact_items(put("a", 10)).transact_items(put("b", 900));
    transaction.transact_items(put("c", 1500)).send().await.expect("written");
    assert_eq!(stub.usage().of("TransactWriteItems"), Calls { requests: 1, conflicts: 0, units: 8.0 });
    // A smaller item replaces a larger one: the larger counts.
    client.put_item().table_name(TABLE).item("pk", AttributeValue::S("c".into())).send().await.expect("written");
    assert_eq!(stub.usage().of("PutItem").units, 2.0);
    client.get_item().table_name(TABLE).key("pk", AttributeValue::S("a".into())).send().await.expect("read");
    assert_eq!(stub.usage().reads(), Calls { requests: 1, conflicts: 0, units: 0.5 });
    assert_eq!(stub.items(TABLE), 3);
}

#[tokio::test]
async fn two_transactions_that_write_one_item_at_the_same_time_conflict() {
    let (stub, client) = with_table(Latency { read: Duration::ZERO, write: Duration::from_millis(200) }).await;
    let write = |keys: [&'static str; 2]| {
        let transaction = client.transact_write_items();
        keys.into_iter().fold(transaction, |transaction, key| transaction.transact_items(put(key, 1))).send()
    };
    let (one, other, third) = tokio::join!(write(["a", "b"]), write(["b", "c"]), write(["d", "e"]));
    third.expect("no item in common");
    assert!(one.is_ok() != other.is_ok(), "one is carried out, and one is refused");
    let refused = one.err().or(other.err()).expect("one is refused").into_service_error();
    let TransactWriteItemsError::TransactionCanceledException(refused) = refused else { panic!("{refused:?}") };
    let codes: Vec<_> = refused.cancellation_reasons().iter().filter_map(|reason| reason.code()).collect();
    assert!(codes == ["TransactionConflict", "None"] || codes == ["None", "TransactionConflict"], "{codes:?}");
    assert_eq!(stub.usage().of("TransactWriteItems"), Calls { requests: 3, conflicts: 1, units: 12.0 });
    write(["a", "b"]).await.expect("the items are free again");
}

#[tokio::test]
async fn single_writes_of_one_item_do_not_conflict_with_each_other_but_with_a_transaction() {
    let (stub, client) = with_table(Latency { read: Duration::ZERO, write: Duration::from_millis(200) }).await;
    let single = |key: &str| client.put_item().table_name(TABLE).item("pk", AttributeValue::S(key.to_owned())).send();
    let transaction = client.transact_write_items().transact_items(put("t", 1)).send();
    let (one, other, transaction) = tokio::join!(single("a"), single("a"), transaction);
    for single in [one, other] {
        single.expect("written");
    }
    transaction.expect("written");
    let late = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        single("b").await
    };
    let (transaction, late) = tokio::join!(client.transact_write_items().transact_items(put("b", 1)).send(), late);
    transaction.expect("written");
    assert_eq!(late.expect_err("the transaction holds the item").code(), Some("TransactionConflictException"));
    let [singles, transactions] = ["PutItem", "TransactWriteItems"].map(|call| stub.usage().of(call).conflicts);
    assert_eq!((singles > 0, transactions), (true, 0));
}

#[tokio::test]
async fn items_are_free_again_when_a_client_hangs_up() {
    let (stub, client) = with_table(Latency { read: Duration::ZERO, write: Duration::from_millis(500) }).await;
    let write = || client.transact_write_items().transact_items(put("a", 1)).send();
    let cut_short = tokio::time::timeout(Duration::from_millis(100), write()).await;
    assert!(cut_short.is_err(), "the answer takes longer");
    tokio::time::sleep(Duration::from_millis(200)).await;
    write().await.expect("the item is free again");
    assert_eq!(stub.usage().of("TransactWriteItems").conflicts, 0);
}

#[tokio::test]
async fn appended_records_are_read_through_the_streams_api() {
    let (stub, client) = with_table(Latency::default()).await;
    stub.stream(TABLE, 4);
    let mut orders = Orders::new(Mix { items: Items::Zipf(10), dates: Dates::Minute, tenants: 1 }).expect("a mix");
    stub.append(TABLE, &orders.records(50));
    let arn =
        client.describe_table().table_name(TABLE).send().await.expect("described").table.expect("a table").latest_stream_arn;
    let streams = aws_sdk_dynamodbstreams::Client::new(&aws::at_endpoint(stub.url(), "k"));
    let described = streams.describe_stream().stream_arn(arn.clone().expect("a stream")).send().await.expect("described");
    let mut read = 0;
    for shard in described.stream_description.expect("a stream").shards.expect("shards") {
        let begin = streams.get_shard_iterator().set_stream_arn(arn.clone()).set_shard_id(shard.shard_id);
        let iterator =
            begin.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await.expect("an iterator").shard_iterator;
        read += streams.get_records().set_shard_iterator(iterator).send().await.expect("a page").records.expect("records").len();
    }
    assert_eq!(read, 50);
    let missing =
        streams.describe_stream().stream_arn("arn:aws:dynamodb:x:1:table/none/stream/1").send().await.expect_err("no stream");
    assert_eq!(missing.code(), Some("ResourceNotFoundException"));
}
