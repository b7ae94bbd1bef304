//! Creating tables, twice too, and what a missing one or missing credentials are called.

use aws_credential_types::credential_fn::provide_credentials_fn;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_dynamodb::config::{BehaviorVersion, Region, SharedCredentialsProvider};
use aws_sdk_dynamodb::types::{StreamSpecification, StreamViewType};

use super::*;
use crate::testing::{Emulator, FakeStream, config, refusal};

#[tokio::test]
async fn creating_tables_twice_is_creating_them_once() {
    let emulator = Emulator::empty().await;
    let first = emulator.streams.create_control_table().await.unwrap();
    let second = emulator.streams.create_control_table().await.unwrap();
    assert!(first.is_new && !second.is_new);
    assert_eq!(first.warnings.len(), 1, "{first:?}");
    assert!(first.warnings[0].contains("point-in-time recovery"), "the emulator knows none: {first:?}");
    let ttl = emulator.streams.dynamodb.describe_time_to_live().table_name("control").send().await.unwrap();
    assert_eq!(ttl.time_to_live_description().unwrap().attribute_name(), Some("expires_at"));
    assert!(emulator.streams.create_source_table("Stock", "item", Some("place")).await.unwrap().is_new);
    assert!(!emulator.streams.create_source_table("Stock", "item", Some("place")).await.unwrap().is_new);
    assert_eq!(emulator.streams.describe_source("Stock").await.unwrap().key_attributes, ["item", "place"]);
}

#[tokio::test]
async fn a_source_that_cannot_be_read_is_told_with_the_way_out() {
    let emulator = Emulator::empty().await;
    let refused = async |table: &str| emulator.streams.describe_source(table).await.unwrap_err().to_string();
    assert!(refused("Missing").await.contains("tidemark init --with-sources"));

    let create = |table: &str| key(emulator.streams.dynamodb.create_table().table_name(table), "id", None);
    let plain = create("Plain").billing_mode(BillingMode::PayPerRequest);
    plain.send().await.unwrap();
    assert!(refused("Plain").await.contains("enable it with view type NEW_AND_OLD_IMAGES"));

    let keys = StreamSpecification::builder().stream_enabled(true).stream_view_type(StreamViewType::KeysOnly).build();
    let narrow = create("Narrow").billing_mode(BillingMode::PayPerRequest).stream_specification(keys.unwrap());
    narrow.send().await.unwrap();
    let message = refused("Narrow").await;
    assert!(message.contains("KEYS_ONLY") && message.contains("disable the stream, then enable it"), "{message}");
}

#[tokio::test]
async fn a_missing_control_table_is_named() {
    let emulator = Emulator::empty().await;
    let error = emulator.streams.streams_of("Orders").await.unwrap_err();
    assert_eq!(error.to_string(), "control table `control` does not exist; `tidemark init` creates it");
}

#[tokio::test]
async fn trouble_on_the_way_to_dynamodb_is_told_apart() {
    // Bound and dropped: nothing listens there.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let deaf = Streams::new(&config(&format!("http://{address}")), "control".to_owned());
    let error = deaf.describe_source("Orders").await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }) && error.is_retryable(), "{error:?}");

    let with = |provider| {
        aws_types::SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(format!("http://{address}"))
            .credentials_provider(provider)
            .build()
    };
    let without = provide_credentials_fn(async || Err(CredentialsError::not_loaded("no provider has any")));
    let anonymous = with(SharedCredentialsProvider::new(without));
    let error = Streams::new(&anonymous, "control".to_owned()).describe_source("Orders").await.unwrap_err();
    assert!(matches!(error, Error::NoCredentials { .. }) && !error.is_retryable(), "{error:?}");
    let busy = provide_credentials_fn(async || Err(CredentialsError::provider_error("the metadata service answers 503")));
    let waiting = with(SharedCredentialsProvider::new(busy));
    let error = Streams::new(&waiting, "control".to_owned()).describe_source("Orders").await.unwrap_err();
    assert!(matches!(error, Error::CredentialsUnavailable { .. }) && error.is_retryable(), "{error:?}");

    let denied = FakeStream::new(|_, _| refusal("AccessDeniedException")).client();
    let error = Streams { streams: denied, ..deaf }.list_page(&FakeStream::source().arn, None, None).await.unwrap_err();
    assert!(matches!(error, Error::Denied { operation: "DescribeStream", .. }), "{error:?}");
}
