//! An issuer that accepts connections and never answers: requests that wait for it are few, and hold nothing that others need.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use jsonwebtoken::Algorithm;
use serde_json::json;
use tidemark_tests::deployment::DEADLINE;
use tidemark_tests::wait_until;
use tokio::task::JoinSet;

use super::Realm;
use super::issuer::{Mood, Signer, message};

/// How many requests an API answers at once.
const PLACES: usize = 256;
/// More than that.
const STRANGERS: usize = 300;
/// Requests with an API key meanwhile.
const WITH_KEYS: usize = 74;

#[tokio::test]
async fn an_issuer_that_never_answers_takes_no_place_from_requests_with_keys() {
    let realm = Realm::open(&[&Signer::new("1", Algorithm::EdDSA)]).await;
    let key = realm.api.client(realm.deployment.key_of("acme").await);
    realm.issuer.is(Mood::Silent);
    // The header alone is looked at before the issuer is asked, so anyone can write such a token.
    let unsigned = format!("{}.AAAA", message(&json!({ "alg": "RS256", "kid": "x" }), &json!({})));
    let (mut strangers, refused) = (JoinSet::new(), Arc::new(AtomicUsize::new(0)));
    for _ in 0..STRANGERS {
        let (stranger, refused) = (realm.api.client(&unsigned), Arc::clone(&refused));
        strangers.spawn(async move {
            let answer = stranger.get("/v1/tenant").await;
            refused.fetch_add(1, Ordering::SeqCst);
            answer
        });
    }
    // If each took a place until the issuer answers, no place would be left when so many have been refused.
    let over = STRANGERS - PLACES;
    wait_until("strangers to be refused", DEADLINE, async || refused.load(Ordering::SeqCst) >= over).await;
    let mut answered = Vec::new();
    for _ in 0..WITH_KEYS {
        answered.push(key.get("/v1/tenant").await.status);
    }
    assert_eq!(answered, [200; WITH_KEYS]);
    assert!(realm.issuer.asked("openid-configuration") > 0);
    while let Some(answer) = strangers.join_next().await {
        let answer = answer.unwrap();
        assert_eq!((answer.status, &answer.problem()["code"]), (503, &json!("issuer_unavailable")));
        assert!(answer.header("retry-after").is_some());
    }
    realm.api.stop().await;
}
