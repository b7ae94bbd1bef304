//! Keys that the deployment has signed, keys of the form before, and keys that are made up: only the last can run out of look-ups.

use serde_json::json;
use tidemark_api::Settings;
use tidemark_domain::TenantId;
use tidemark_runtime::clock;
use tidemark_runtime::settings::SecretKeys;
use tidemark_store::{Holder, KeySigner, NewKey, Scope, Tenant};
use tidemark_tests::client::{key_signer, settings};
use tidemark_tests::deployment::DEADLINE;
use tidemark_tests::{Answer, Deployment, RunningApi, Workload, wait_until};

use super::admin;
use super::stock::{STOCK, Stock, tenant};

/// Any route will do.
const PATH: &str = "/v1/tenant";
/// More than the look-ups that made-up keys share.
const MADE_UP_MAX: usize = 5_000;
/// Good keys that no process has seen.
const UNSEEN: usize = 40;

fn new_key() -> NewKey {
    let holder = Holder::Tenant(Tenant::named_by_operator(TenantId::new("acme").unwrap()));
    NewKey { holder, scopes: Scope::of_tenants(), name: None, expires_at: None }
}

/// A key that nothing is stored of: of the form before, with the right checksum, or signed by another deployment.
fn made_up(signer: Option<&KeySigner>) -> String {
    use secrecy::ExposeSecret;
    new_key().mint(signer, clock::now()).key.expose_secret().to_owned()
}

async fn ask(api: &RunningApi, key: &str) -> Answer {
    api.client(key).get(PATH).await
}

/// Tries made-up keys until one is not looked up any more.
async fn exhaust(api: &RunningApi) {
    for _ in 0..MADE_UP_MAX {
        match ask(api, &made_up(None)).await.status {
            401 => {}
            status => return assert_eq!(status, 429),
        }
    }
    panic!("{MADE_UP_MAX} made-up keys were looked up");
}

async fn api_with(deployment: &Deployment, current: u8, previous: Option<u8>) -> RunningApi {
    let keys = SecretKeys { current: [current; 32].into(), previous: previous.map(|byte| [byte; 32].into()) };
    let settings = Settings { keys, ..settings() };
    RunningApi::start_as(&deployment.world.config_of(Workload::Api), &settings, &deployment.definitions).await
}

#[tokio::test]
async fn made_up_keys_shut_out_no_key_that_the_deployment_signed() {
    let stock = Stock::open().await;
    let mut unseen = Vec::new();
    for _ in 0..UNSEEN {
        unseen.push(stock.deployment.issue(&new_key()).await);
    }
    for key in &unseen {
        exhaust(&stock.api).await;
        assert_eq!(ask(&stock.api, key).await.status, 200);
    }
    let other = KeySigner::new(&[9; 32], None);
    wait_until("a key with a signature of another deployment to need a look-up of those", DEADLINE, async || {
        exhaust(&stock.api).await;
        ask(&stock.api, &made_up(Some(&other))).await.status == 429
    })
    .await;
    stock.api.stop().await;
}

#[tokio::test]
async fn a_key_without_a_signature_is_good_where_there_are_look_ups_and_from_then_on() {
    let stock = Stock::open().await;
    let (before, other) = (stock.deployment.issue_by(None, &new_key()).await, stock.deployment.issue_by(None, &new_key()).await);
    assert_eq!(ask(&stock.api, &before).await.status, 200);
    exhaust(&stock.api).await;
    assert_eq!(ask(&stock.api, &before).await.status, 200, "it is remembered as good");
    wait_until("another to find a look-up", DEADLINE, async || ask(&stock.api, &other).await.status == 200).await;
    stock.api.stop().await;
}

#[tokio::test]
async fn keys_stay_good_while_the_deployments_key_is_rotated_and_after() {
    let deployment = Deployment::start(STOCK).await;
    let signed_by = async |byte: u8| deployment.issue_by(Some(&KeySigner::new(&[byte; 32], None)), &new_key()).await;
    let (old, new) = (signed_by(1).await, signed_by(2).await);
    for (current, previous, exhausted) in [(1, None, false), (2, Some(1), true), (2, None, false)] {
        let api = api_with(&deployment, current, previous).await;
        for key in [&old, &new] {
            if exhausted {
                exhaust(&api).await;
            }
            assert_eq!(ask(&api, key).await.status, 200, "{current} {previous:?}");
        }
        api.stop().await;
    }
}

#[tokio::test]
async fn keys_that_the_api_makes_are_signed() {
    let stock = Stock::open().await;
    let (acme, operator) = (stock.client("acme").await, admin::operator(&stock).await);
    stock.deployment.create_tenant("rival", "UTC").await;
    let body = json!({ "scopes": ["metrics:read"] });
    for made in [acme.post("/v1/api-keys", &body).await, operator.post("/v1/admin/tenants/rival/api-keys", &body).await] {
        let made = made.json_of(201);
        let key = made["key"].as_str().unwrap();
        assert!(key_signer().read(key).is_some_and(|key| key.is_signed()));
    }
    let holder = Holder::Tenant(tenant("acme"));
    assert_eq!(stock.deployment.store.keys(&holder, clock::now()).await.unwrap().len(), 2);
    stock.api.stop().await;
}
