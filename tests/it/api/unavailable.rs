//! What clients see while the deployment lacks something: 503 and when to come back, never a 500. Each case ends, and the same request is
//! answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::credential_fn::provide_credentials_fn;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_dynamodb::config::SharedCredentialsProvider;
use aws_types::SdkConfig;
use serde_json::json;
use tidemark_tests::{Client, Deployment, Fault, RunningApi, When, Workload};

use super::SHOP;

/// Routes that read the data table, the control table, and both.
const PATHS: [&str; 3] = ["/v1/tenant", "/v1/status", "/v1/metrics/sales/values"];

/// What a provider of credentials does.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
enum Mood {
    Good,
    Fails,
    TimesOut,
    HasNone,
}

/// A configuration whose credentials come from a provider that is asked for each call.
fn config_with(config: &SdkConfig, mood: &Arc<AtomicU8>) -> SdkConfig {
    let (mood, good) = (Arc::clone(mood), config.credentials_provider().expect("the world has one"));
    let provider = provide_credentials_fn(move || {
        let (mood, good) = (mood.load(Ordering::SeqCst), good.clone());
        async move {
            use aws_credential_types::provider::ProvideCredentials;
            if mood == Mood::Fails as u8 {
                return Err(CredentialsError::provider_error("STS answers 503"));
            }
            if mood == Mood::TimesOut as u8 {
                return Err(CredentialsError::provider_timed_out(Duration::from_secs(5)));
            }
            if mood == Mood::HasNone as u8 {
                return Err(CredentialsError::not_loaded("no provider has any"));
            }
            let good = good.provide_credentials().await?;
            // They have expired, so they are not kept.
            let (key, secret) = (good.access_key_id(), good.secret_access_key());
            Ok(Credentials::new(key, secret, None, Some(SystemTime::UNIX_EPOCH), "test"))
        }
    });
    config.clone().into_builder().credentials_provider(SharedCredentialsProvider::new(provider)).build()
}

async fn expect_unavailable(client: &Client, what: &str) {
    for path in PATHS {
        let answer = client.get(path).await;
        assert_eq!((answer.status, &answer.problem()["code"]), (503, &json!("store_unavailable")), "{what}: {path}");
        assert!(answer.header("retry-after").is_some(), "{what}: {path}");
    }
}

async fn expect_answers(client: &Client, what: &str) {
    for path in PATHS {
        assert_eq!(client.get(path).await.status, 200, "{what}: {path}");
    }
}

#[tokio::test]
async fn credentials_that_fail_or_are_missing_are_no_fault_of_the_request() {
    let deployment = Deployment::start(SHOP).await;
    let mood = Arc::new(AtomicU8::new(Mood::Good as u8));
    let config = config_with(&deployment.world.config_of(Workload::Api), &mood);
    let api = RunningApi::start(&config, &deployment.definitions).await;
    let client = api.client(deployment.key_of("acme").await);
    for bad in [Mood::Fails, Mood::TimesOut, Mood::HasNone] {
        expect_answers(&client, "before").await;
        mood.store(bad as u8, Ordering::SeqCst);
        expect_unavailable(&client, &format!("{bad:?}")).await;
        mood.store(Mood::Good as u8, Ordering::SeqCst);
    }
    expect_answers(&client, "after").await;
    api.stop().await;
}

#[tokio::test]
async fn what_aws_refuses_to_the_deployment_is_no_fault_of_the_request() {
    let deployment = Deployment::start(SHOP).await;
    let api = deployment.start_api().await;
    let client = api.client(deployment.key_of("acme").await);
    let front = deployment.world.front();
    for code in [
        "AccessDeniedException",
        "ExpiredTokenException",
        "InvalidClientTokenId",
        "UnrecognizedClientException",
        "ResourceNotFoundException",
        "LimitExceededException",
        "TransactionConflictException",
    ] {
        expect_answers(&client, "before").await;
        front.fault("GetItem", When::Matching(Box::new(|_| true)), Fault::Refused(code));
        expect_unavailable(&client, code).await;
        front.no_faults();
    }
    expect_answers(&client, "after").await;
    api.stop().await;
}
