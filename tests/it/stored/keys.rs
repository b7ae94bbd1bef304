//! Keys: so many for each holder; one that is deleted or expired is good no more, and leaves room.

use std::collections::BTreeSet;

use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde_json::json;
use tidemark_store::{AuthenticationError, Credential, Error, Holder, IssuedKey, KEYS_MAX, KeyError, NewKey, Scope};
use tidemark_tests::client::key_signer;
use tidemark_tests::deployment::{item_of, tables};

use super::{Shelf, at, tenant};

fn new_key(holder: &Holder, expires_at: Option<Timestamp>) -> NewKey {
    NewKey { holder: holder.clone(), scopes: BTreeSet::from([Scope::MetricsRead]), name: None, expires_at }
}

fn holder(id: &str) -> Holder {
    Holder::Tenant(tenant(id))
}

async fn presented(shelf: &Shelf, key: &str, now: Timestamp) -> Result<Credential, AuthenticationError> {
    let signer = key_signer();
    shelf.store.authenticate(&signer.read(key).expect("a key"), now).await
}

async fn made(shelf: &Shelf, holder: &Holder) -> Result<IssuedKey, KeyError> {
    shelf.store.create_key(&new_key(holder, None), None, at(0)).await
}

#[tokio::test]
async fn a_holder_has_so_many_keys_and_no_more() {
    let shelf = Shelf::new().await;
    let acme = holder("acme");
    let mut keys = Vec::new();
    for _ in 1..KEYS_MAX {
        keys.push(made(&shelf, &acme).await.unwrap());
    }
    // Of several at once, one is the last.
    let last = tokio::join!(made(&shelf, &acme), made(&shelf, &acme), made(&shelf, &acme));
    let refused: Vec<KeyError> = [last.0.err(), last.1.err(), last.2.err()].into_iter().flatten().collect();
    assert!(matches!(refused[..], [KeyError::Quota, KeyError::Quota]), "{refused:?}");
    let listed = shelf.store.keys(&acme, at(0)).await.unwrap();
    assert_eq!(listed.len(), KEYS_MAX);
    assert!(listed.is_sorted_by(|one, next| one.id < next.id), "oldest first");
    for other in [holder("rival"), Holder::Operator] {
        made(&shelf, &other).await.expect("others' keys are their own");
    }
    assert!(shelf.store.delete_key(&acme, &keys[0].id).await.unwrap());
    made(&shelf, &acme).await.expect("one place is free");
    assert!(matches!(made(&shelf, &acme).await, Err(KeyError::Quota)), "and only one");
}

#[tokio::test]
async fn keys_that_have_expired_take_no_place() {
    let shelf = Shelf::new().await;
    let acme = holder("acme");
    for _ in 0..KEYS_MAX {
        shelf.store.create_key(&new_key(&acme, Some(at(60_000))), None, at(0)).await.unwrap();
    }
    assert!(matches!(made(&shelf, &acme).await, Err(KeyError::Quota)));
    assert_eq!(shelf.store.keys(&acme, at(60_000)).await.unwrap(), [], "from then on they are listed no more");
    let key = shelf.store.create_key(&new_key(&acme, None), None, at(60_000)).await.expect("there is room");
    let listed = shelf.store.keys(&acme, at(0)).await.unwrap();
    assert_eq!(listed.into_iter().map(|key| key.id).collect::<Vec<_>>(), [key.id], "and they are gone");
}

#[tokio::test]
async fn a_key_is_good_until_it_is_deleted_by_its_own_holder() {
    let shelf = Shelf::new().await;
    let (store, acme) = (&shelf.store, holder("acme"));
    let issued = store.create_key(&new_key(&acme, Some(at(60_000))), None, at(0)).await.unwrap();
    let key = issued.key.expose_secret();
    let credential = presented(&shelf, key, at(59_000)).await.unwrap();
    assert_eq!((credential.key_id.as_str(), &credential.holder), (issued.id.as_str(), &acme));
    assert!(matches!(presented(&shelf, key, at(60_000)).await, Err(AuthenticationError::Expired)));
    for (stranger, id) in
        [(holder("rival"), issued.id.as_str()), (Holder::Operator, &issued.id), (acme.clone(), "KEYS"), (acme.clone(), "")]
    {
        assert!(!store.delete_key(&stranger, id).await.unwrap(), "{stranger:?} {id}");
    }
    presented(&shelf, key, at(0)).await.expect("it is still there");
    assert!(store.delete_key(&acme, &issued.id).await.unwrap());
    assert!(matches!(presented(&shelf, key, at(0)).await, Err(AuthenticationError::Unknown)));
    assert!(!store.delete_key(&acme, &issued.id).await.unwrap());
    assert_eq!(store.keys(&acme, at(0)).await.unwrap(), []);
}

#[tokio::test]
async fn a_key_whose_tenant_was_lost_is_corrupt_and_not_an_operators() {
    let shelf = Shelf::new().await;
    let issue = async |holder: Holder, scopes: BTreeSet<Scope>| {
        let new = NewKey { holder, scopes, name: None, expires_at: None };
        shelf.store.create_key(&new, None, at(0)).await.unwrap()
    };
    let both = Scope::of_tenants().into_iter().chain([Scope::Operator]).collect();
    for scopes in [Scope::of_tenants(), both, BTreeSet::new()] {
        let issued = issue(holder("acme"), scopes.clone()).await;
        presented(&shelf, issued.key.expose_secret(), at(0)).await.expect("a tenant's key");
        let key = item_of(&json!({ "pk": { "S": format!("KEY#{}", issued.id) }, "sk": { "S": "KEY" } }));
        let update = shelf.world.dynamodb().update_item().table_name(tables().data).set_key(Some(key));
        update.update_expression("REMOVE tenant").condition_expression("attribute_exists(tenant)").send().await.unwrap();
        let found = presented(&shelf, issued.key.expose_secret(), at(0)).await;
        assert!(matches!(found, Err(AuthenticationError::Store(Error::Corrupt { .. }))), "{scopes:?}: {found:?}");
    }
    let operator = issue(Holder::Operator, [Scope::Operator].into()).await;
    let found = presented(&shelf, operator.key.expose_secret(), at(0)).await.expect("an operator's key");
    assert_eq!(found.holder, Holder::Operator);
}
