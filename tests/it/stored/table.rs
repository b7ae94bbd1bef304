//! The data table and its index.

use aws_sdk_dynamodb::types::{AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType};
use tidemark_store::{Error, LevelQuery, LevelsBy, Store};
use tidemark_streams::Streams;
use tidemark_tests::deployment::tables;
use tidemark_tests::{Fault, When, World};

use super::{Shelf, inventory, tenant};

/// A table as the first releases made it, with a level in it, as if such had been written without an index.
#[tokio::test]
async fn a_table_without_the_index_gets_it_with_what_is_there() {
    let world = World::start().await;
    let client = world.dynamodb();
    let mut request = client.create_table().billing_mode(BillingMode::PayPerRequest);
    for (name, kind) in [("pk", KeyType::Hash), ("sk", KeyType::Range)] {
        let attribute = AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S);
        let key = KeySchemaElement::builder().attribute_name(name).key_type(kind);
        request = request.attribute_definitions(attribute.build().unwrap()).key_schema(key.build().unwrap());
    }
    request.clone().table_name(tables().data).send().await.unwrap();
    request.table_name(tables().control).send().await.unwrap();
    let store = Store::new(&world.direct_config(), tables());
    let shelf = Shelf { world, store: store.clone(), tenant: tenant("acme") };
    shelf.commit("tea", "5").await;
    assert!(matches!(store.verify_tables().await, Err(Error::IndexMissing(_))), "a workload does not start on it");

    assert!(!store.create_data_table().await.unwrap().is_new);
    store.verify_tables().await.unwrap();
    shelf.commit("mug", "4").await;
    let query = LevelQuery { by: LevelsBy::Available, after: None, limit: 10 };
    let page = store.levels(&shelf.tenant, &inventory(), &query).await.unwrap();
    assert_eq!(page.rows.iter().map(|(key, _)| key.item.as_str()).collect::<Vec<_>>(), ["mug", "tea"]);
    assert!(!store.create_data_table().await.unwrap().is_new, "once more changes nothing");
}

#[tokio::test]
async fn a_protection_is_asked_for_until_the_table_is_ready_for_it_and_no_failure_passes_for_one_that_is_unknown() {
    const CALL: &str = "UpdateContinuousBackups";
    let world = World::start().await;
    let (store, streams) = (Store::new(&world.config(), tables()), Streams::new(&world.config(), tables().control));
    world.front().fault(CALL, When::Next(2), Fault::BackupsUnavailable);
    // The emulators know no backups, which is no fault.
    let told = "this endpoint has no point-in-time recovery";
    assert!(store.create_data_table().await.unwrap().warnings.iter().any(|warning| warning.contains(told)));
    assert_eq!(world.front().calls(CALL), 3);
    world.front().fault(CALL, When::Next(2), Fault::BackupsUnavailable);
    assert!(streams.create_control_table().await.unwrap().warnings.iter().any(|warning| warning.contains(told)));
    assert_eq!(world.front().calls(CALL), 6);
    // As often as the SDK asks.
    world.front().fault(CALL, When::Next(3), Fault::Throttle);
    assert!(matches!(store.create_data_table().await, Err(Error::Throttled(_))));
    world.front().fault(CALL, When::Next(3), Fault::Throttle);
    assert!(streams.create_control_table().await.is_err_and(|error| error.is_retryable()));
}
