//! AWS's limits on requests, as the front and the in-process wire hold calls to them. What the limits are is tested beside them.

use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_types::SdkConfig;
use tidemark_runtime::clock;
use tidemark_store::Store;
use tidemark_tests::deployment::tables;
use tidemark_tests::{Wire, Workload, World};

/// One byte more than a sort key can have. The embedded emulator accepts it as a prefix.
const PREFIX_BYTES: usize = 1025;

/// Asks for the items of a tenant whose sort keys begin with a text that no sort key can begin with.
async fn ask_for_long_prefix(config: &SdkConfig) -> Result<(), Option<String>> {
    let query = aws_sdk_dynamodb::Client::new(config).query().table_name(tables().data);
    let query = query.key_condition_expression("pk = :pk AND begins_with(sk, :prefix)");
    let query = query.expression_attribute_values(":pk", AttributeValue::S("T#demo#CFG".to_owned()));
    let query = query.expression_attribute_values(":prefix", AttributeValue::S("a".repeat(PREFIX_BYTES)));
    query.send().await.map(drop).map_err(|error| error.into_service_error().code().map(str::to_owned))
}

async fn create_table(config: &SdkConfig) {
    Store::new(config, tables()).create_data_table().await.unwrap();
}

#[tokio::test]
async fn the_front_and_the_wire_refuse_what_aws_refuses() {
    let refused = Err(Some("ValidationException".to_owned()));
    let world = World::start().await;
    create_table(&world.direct_config()).await;
    assert_eq!(ask_for_long_prefix(&world.config()).await, refused);
    assert_eq!(world.front().beyond_limits(), Vec::<String>::new(), "no workload sent it");

    let wire = Wire::start(1, 1, clock::now());
    create_table(&wire.config()).await;
    assert_eq!(ask_for_long_prefix(&wire.config()).await, refused);
}

#[tokio::test]
#[should_panic(expected = "a workload sent what AWS refuses")]
async fn a_workload_that_sends_what_aws_refuses_fails_the_test() {
    let world = World::start().await;
    create_table(&world.direct_config()).await;
    ask_for_long_prefix(&world.config_of(Workload::Api)).await.unwrap_err();
}
