//! Access tokens: good ones of the issuer's, and whatever else somebody may send instead. Keys come over real HTTP.

mod hostile;
mod issuer;
mod silent;

use std::time::Duration;

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use tidemark_api::Settings;
use tidemark_runtime::clock;
use tidemark_tests::client::settings;
use tidemark_tests::{Answer, Deployment, RunningApi, Workload};
use tokio::time::Instant;

use super::SHOP;
use issuer::{Issuer, Mood, Signer};

/// Every kind of scope there is to ask for.
const ALL: &str = "metrics:read inventory:read alerts:read keys:write operator";

/// An API that accepts an issuer's tokens, and two tenants.
struct Realm {
    deployment: Deployment,
    issuer: Issuer,
    api: RunningApi,
}

impl Realm {
    async fn open(signers: &[&Signer]) -> Self {
        let (deployment, issuer) = (Deployment::start(SHOP).await, Issuer::start().await);
        for tenant in ["acme", "rival"] {
            deployment.create_tenant(tenant, "UTC").await;
        }
        issuer.publish(signers);
        let settings = Settings { oidc: Some(issuer.settings()), ..settings() };
        let api = RunningApi::start_as(&deployment.world.config_of(Workload::Api), &settings, &deployment.definitions).await;
        Self { deployment, issuer, api }
    }

    async fn ask(&self, token: &str) -> Answer {
        self.api.client(token).get("/v1/tenant").await
    }

    /// Asks with a good token of acme's.
    async fn ask_by(&self, signer: &Signer) -> (u16, Value) {
        let answer = self.ask(&signer.token(&self.issuer.claims("acme", ALL))).await;
        (answer.status, if answer.status == 200 { Value::Null } else { answer.problem()["code"].clone() })
    }
}

/// Lets time pass for whoever measures it; what is under way meanwhile sees it pass in one step.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

fn signers() -> [Signer; 3] {
    [("rsa", Algorithm::RS256), ("ec/1", Algorithm::ES256), ("ed", Algorithm::EdDSA)].map(|(kid, by)| Signer::new(kid, by))
}

#[tokio::test]
async fn a_token_of_each_algorithm_acts_for_its_tenant_with_its_scopes() {
    let all = signers();
    let realm = Realm::open(&all.each_ref()).await;
    for signer in &all {
        let token = signer.token(&realm.issuer.claims("acme", "openid metrics:read operator"));
        let client = realm.api.client(token);
        assert_eq!(client.get("/v1/tenant").await.json()["id"], "acme", "{}", signer.kid);
        for (path, code) in [("/v1/inventory", "missing_scope"), ("/v1/admin/tenants", "operator_only")] {
            let answer = client.get(path).await;
            assert_eq!((answer.status, &answer.problem()["code"]), (403, &json!(code)), "{path}");
        }
    }
    assert_eq!(realm.issuer.asked("/jwks"), 1, "one look is enough for all");
    // A list of audiences, and scopes as a list.
    let mut claims = realm.issuer.claims("rival", "");
    claims["aud"] = json!(["other", "tidemark"]);
    claims["scope"] = json!(["keys:write", "metrics:read"]);
    let client = realm.api.client(all[0].token(&claims));
    assert_eq!(client.get("/v1/tenant").await.json()["id"], "rival");
    let made = client.post("/v1/api-keys", &json!({ "scopes": ["metrics:read"] })).await.json_of(201);
    assert_eq!(realm.api.client(made["key"].as_str().unwrap()).get("/v1/tenant").await.json()["id"], "rival");
    let more = client.post("/v1/api-keys", &json!({ "scopes": ["alerts:read"] })).await;
    assert_eq!((more.status, &more.problem()["code"]), (403, &json!("missing_scope")), "a key gives what its maker has");
    // Keys are as good as ever; an issuer makes no tenants, and one that is deleted is gone for its tokens.
    assert_eq!(realm.api.client(realm.deployment.key_of("acme").await).get("/v1/tenant").await.status, 200);
    assert_eq!(realm.ask(&all[0].token(&realm.issuer.claims("nobody", ALL))).await.problem()["code"], "unauthenticated");
    let (store, rival) = (&realm.deployment.store, super::stock::tenant("rival"));
    let read = store.tenant_settings(&rival).await.unwrap();
    store.delete_tenant(&rival, &read, clock::now()).await.unwrap();
    assert_eq!(client.get("/v1/tenant").await.status, 401);
    realm.api.stop().await;
}

#[tokio::test]
async fn hostile_tokens_are_refused_each_in_the_same_way() {
    let all = signers();
    let realm = Realm::open(&all.each_ref()).await;
    let begun = Instant::now();
    assert_eq!(realm.ask_by(&all[0]).await.0, 200);
    for (what, token) in hostile::claims(&realm.issuer, &all[0]).into_iter().chain(hostile::forms(&realm.issuer, &all)) {
        let answer = realm.ask(&token).await;
        assert_eq!((answer.status, &answer.problem()["code"]), (401, &json!("unauthenticated")), "{what}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{what}");
        assert!(!answer.text.contains("evil") && !answer.text.contains("passwd"), "{what}: nothing of it is repeated");
    }
    // A flood of keys that nobody has.
    for number in 0..200 {
        let stranger = json!({ "alg": "RS256", "kid": format!("made-up-{number}") });
        assert_eq!(realm.ask(&all[0].sign(&stranger, &realm.issuer.claims("acme", ALL))).await.status, 401);
    }
    let minutes = usize::try_from(begun.elapsed().as_secs() / 60).unwrap();
    let asked = realm.issuer.asked("/jwks");
    assert!(asked <= 1 + minutes, "asked {asked} times in {:?}", begun.elapsed());
    assert_eq!(realm.ask_by(&all[0]).await.0, 200, "nobody is shut out by that");
    realm.api.stop().await;
}

#[tokio::test]
async fn keys_are_rotated_and_withdrawn() {
    let [old, new, later] = ["1", "2", "3"].map(|kid| Signer::new(kid, Algorithm::ES256));
    let realm = Realm::open(&[&old]).await;
    assert_eq!(realm.ask_by(&old).await.0, 200);
    realm.issuer.publish(&[&old, &new]);
    assert_eq!(realm.ask_by(&new).await, (401, json!("unauthenticated")), "the issuer was asked a moment ago");
    pass(Duration::from_secs(61)).await;
    realm.issuer.asked("");
    let asked = tokio::join!(realm.ask_by(&new), realm.ask_by(&new), realm.ask_by(&new), realm.ask_by(&old));
    assert_eq!([asked.0.0, asked.1.0, asked.2.0, asked.3.0], [200; 4]);
    assert_eq!(realm.issuer.asked("/jwks"), 1, "one asks for all");
    realm.issuer.publish(&[&new]);
    assert_eq!(realm.ask_by(&old).await.0, 200, "nobody has told us");
    pass(Duration::from_secs(10 * 60)).await;
    assert_eq!(realm.ask_by(&new).await.0, 200);
    assert_eq!(realm.ask_by(&old).await, (401, json!("unauthenticated")), "it was withdrawn ten minutes ago");
    // An issuer that is silent takes no keys away; of those it may have by now, nobody knows.
    realm.issuer.is(Mood::Down);
    pass(Duration::from_secs(10 * 60)).await;
    assert_eq!(realm.ask_by(&new).await.0, 200);
    assert_eq!(realm.ask_by(&later).await, (503, json!("issuer_unavailable")));
    realm.api.stop().await;
}

#[tokio::test]
async fn without_an_issuer_the_api_starts_and_keys_work_and_tokens_wait() {
    let signer = Signer::new("1", Algorithm::EdDSA);
    let realm = Realm::open(&[&signer]).await;
    let key = realm.api.client(realm.deployment.key_of("acme").await);
    let elsewhere = Issuer::start().await;
    elsewhere.publish(&[&signer]);
    for mood in [
        Mood::Down,
        Mood::Redirects,
        Mood::Claims(elsewhere.url.clone()),
        Mood::KeysAt("http://keys.example.com/jwks".to_owned()),
        Mood::KeysAt("file:///etc/passwd".to_owned()),
        Mood::KeysAt(format!("{}/none", realm.issuer.url)),
        Mood::Padded(64 * 1024),
    ] {
        realm.issuer.is(mood.clone());
        let answer = realm.ask(&signer.token(&realm.issuer.claims("acme", ALL))).await;
        assert_eq!((answer.status, &answer.problem()["code"]), (503, &json!("issuer_unavailable")), "{mood:?}");
        assert!(answer.header("retry-after").is_some(), "{mood:?}");
        assert_eq!(key.get("/v1/tenant").await.status, 200, "{mood:?}");
        assert_eq!(realm.issuer.asked("/elsewhere"), 0, "no redirect is followed");
        pass(Duration::from_secs(6)).await;
    }
    assert_eq!(elsewhere.asked(""), 0);
    realm.issuer.is(Mood::Padded(60 * 1024));
    assert_eq!(realm.ask_by(&signer).await.0, 200, "it is there again, and its keys are short enough");
    realm.api.stop().await;
}
