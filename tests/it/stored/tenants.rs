//! Tenants: a frozen zone stands whoever is first; one with data stays; a deletion that was cut short is seen, and finished.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::types::AttributeValue;
use secrecy::ExposeSecret;
use tidemark_domain::{TenantId, Zone};
use tidemark_store::{
    DeleteError, Error, Holder, KeyError, NewKey, NewTenant, Scope, Store, Tenant, TenantChange, TenantCreated, TenantError,
    TenantRates, TenantSettings,
};
use tidemark_tests::client::key_signer;
use tidemark_tests::deployment::tables;
use tidemark_tests::{Fault, When};

use super::{Shelf, at, rule, tenant};

fn new_tenant(id: &str, zone: Option<&str>) -> NewTenant {
    let zone = zone.map(|zone| Zone::named(zone).unwrap());
    NewTenant { id: TenantId::new(id).unwrap(), name: None, zone, currency: None, rates: TenantRates::default() }
}

fn change(zone: &str) -> TenantChange {
    TenantChange {
        name: Some("Acme".to_owned()),
        zone: Zone::named(zone).unwrap(),
        currency: None,
        rates: TenantRates::default(),
    }
}

async fn key(shelf: &Shelf) -> Result<String, KeyError> {
    let holder = Holder::Tenant(shelf.tenant.clone());
    let new = NewKey { holder, scopes: BTreeSet::from([Scope::KeysWrite]), name: None, expires_at: None };
    shelf.store.create_key(&new, None, at(0)).await.map(|issued| issued.key.expose_secret().to_owned())
}

async fn settings(shelf: &Shelf) -> TenantSettings {
    shelf.store.tenant_settings(&shelf.tenant).await.unwrap()
}

#[tokio::test]
async fn a_zone_can_be_changed_until_a_record_is_counted_by_it() {
    let shelf = Shelf::new().await;
    let (store, acme) = (&shelf.store, &shelf.tenant);
    let before = settings(&shelf).await;
    assert_eq!((before.version, before.created_at), (0, None));
    let first = store.update_tenant(acme, &before, &change("Europe/Berlin"), at(0)).await.expect("the first change creates it");
    assert_eq!((first.version, first.zone.name(), first.created_at), (1, "Europe/Berlin", Some(at(0))));
    assert!(matches!(store.update_tenant(acme, &before, &change("UTC"), at(1)).await, Err(TenantError::ConditionFailed)));
    // A worker freezes it after it was read, and before it is written.
    assert_eq!(store.freeze_zone(acme).await.unwrap().name(), "Europe/Berlin");
    assert!(matches!(store.update_tenant(acme, &first, &change("UTC"), at(1)).await, Err(TenantError::ZoneFrozen)));
    assert_eq!(settings(&shelf).await, TenantSettings { zone_frozen: true, ..first.clone() }, "nothing was changed");
    let named = TenantChange { name: None, ..change("Europe/Berlin") };
    assert_eq!(store.update_tenant(acme, &first, &named, at(1)).await.unwrap().version, 2, "the rest can be");
    let created = store.create_tenant(&new_tenant("acme", Some("UTC")), at(2)).await.unwrap();
    assert_eq!(created, TenantCreated::ZoneFrozen(Zone::named("Europe/Berlin").unwrap()));
}

#[tokio::test]
async fn tenants_are_listed_by_id_once_somebody_created_them() {
    let shelf = Shelf::new().await;
    for id in ["b", "a", "C", "d"] {
        assert_eq!(shelf.store.create_tenant(&new_tenant(id, None), at(0)).await.unwrap(), TenantCreated::New);
        assert_eq!(shelf.store.create_tenant(&new_tenant(id, None), at(0)).await.unwrap(), TenantCreated::Same);
    }
    shelf.store.freeze_zone(&tenant("b")).await.unwrap();
    shelf.store.freeze_zone(&tenant("known-by-records")).await.unwrap();
    let first = shelf.store.tenants(None, 2).await.unwrap();
    let ids = |tenants: &[TenantSettings]| tenants.iter().map(|tenant| tenant.id.to_string()).collect::<Vec<_>>();
    assert_eq!((ids(&first.tenants), first.more), (vec!["C".to_owned(), "a".to_owned()], true));
    let rest = shelf.store.tenants(Some(&first.tenants[1].id), 2).await.unwrap();
    assert_eq!((ids(&rest.tenants), rest.more), (vec!["b".to_owned(), "d".to_owned()], false));
    assert_eq!(rest.tenants.iter().map(|tenant| tenant.zone_frozen).collect::<Vec<_>>(), [true, false]);
}

/// The settings as a binary of 0.1 stores them: those attributes alone, and then an operator's.
async fn put_settings(shelf: &Shelf, numbers: &[(&str, &str)]) {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let number = |number: &str| AttributeValue::N(number.to_owned());
    let put = shelf.world.dynamodb().put_item().table_name(tables().data);
    let put =
        put.item("pk", text("T#acme#CFG")).item("sk", text("TENANT")).item("name", text("Acme")).item("currency", text("EUR"));
    let put = put.item("created_at", number("1800000000")).item("version", number("3"));
    let put = numbers.iter().fold(put, |put, (name, value)| put.item(*name, number(value)));
    put.send().await.unwrap();
}

#[tokio::test]
async fn settings_stored_before_there_were_rates_have_none_and_each_attribute_is_one_rate() {
    let shelf = Shelf::new().await;
    put_settings(&shelf, &[]).await;
    let stored = settings(&shelf).await;
    assert_eq!((stored.version, stored.created_at, stored.rates), (3, Some(at(0)), TenantRates::default()));
    assert_eq!(shelf.store.tenant_rates(&shelf.tenant).await.unwrap(), TenantRates::default());
    assert_eq!(shelf.store.tenant_rates(&tenant("known-by-records")).await.unwrap(), TenantRates::default());
    put_settings(&shelf, &[("key_rps", "1"), ("key_burst", "2"), ("tenant_rps", "3"), ("tenant_burst", "1000000")]).await;
    let rates = TenantRates { key_rps: Some(1), key_burst: Some(2), tenant_rps: Some(3), tenant_burst: Some(1_000_000) };
    assert_eq!((settings(&shelf).await.rates, shelf.store.tenant_rates(&shelf.tenant).await.unwrap()), (rates, rates));
    put_settings(&shelf, &[("key_rps", "0")]).await;
    assert!(matches!(shelf.store.tenant_rates(&shelf.tenant).await, Err(Error::Corrupt { .. })));
}

#[tokio::test]
async fn rates_are_stored_with_the_other_settings_and_taken_back() {
    let shelf = Shelf::new().await;
    let (store, acme) = (&shelf.store, &shelf.tenant);
    let rates = TenantRates { key_rps: Some(50), tenant_burst: Some(70), ..TenantRates::default() };
    let new = NewTenant { rates, ..new_tenant("acme", None) };
    assert_eq!(store.create_tenant(&new, at(0)).await.unwrap(), TenantCreated::New);
    assert_eq!(store.create_tenant(&new, at(0)).await.unwrap(), TenantCreated::Same);
    assert_eq!(store.create_tenant(&new_tenant("acme", None), at(0)).await.unwrap(), TenantCreated::Different);
    let created = settings(&shelf).await;
    assert_eq!(created.rates, rates);
    let to = TenantRates { key_rps: None, key_burst: Some(9), ..rates };
    let changed = store.update_tenant(acme, &created, &TenantChange { rates: to, ..change("UTC") }, at(1)).await.unwrap();
    assert_eq!((changed.rates, changed.version), (to, 2));
    let raw = shelf.world.dynamodb().get_item().table_name(tables().data);
    let raw = raw.key("pk", AttributeValue::S("T#acme#CFG".to_owned())).key("sk", AttributeValue::S("TENANT".to_owned()));
    let raw = raw.send().await.unwrap().item.unwrap();
    let numbers: BTreeMap<_, _> =
        raw.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_n().ok()?.as_str()))).collect();
    assert_eq!(
        numbers,
        BTreeMap::from([("created_at", "1800000000"), ("key_burst", "9"), ("tenant_burst", "70"), ("version", "2")])
    );
}

#[tokio::test]
async fn a_tenant_is_deleted_with_its_keys_and_only_without_data() {
    let shelf = Shelf::new().await;
    let (store, acme, signer) = (&shelf.store, &shelf.tenant, key_signer());
    let authenticate = async |key: &str| store.authenticate(&signer.read(key).expect("a key"), at(0)).await;
    store.create_tenant(&new_tenant("acme", Some("Europe/Berlin")), at(0)).await.unwrap();
    let (one, other) = (key(&shelf).await.unwrap(), key(&shelf).await.unwrap());
    let stale = TenantSettings { version: 7, ..settings(&shelf).await };
    assert!(matches!(store.delete_tenant(acme, &stale, at(0)).await, Err(DeleteError::ConditionFailed)));

    let rule = rule(None, "5");
    store.create_rule(acme, &rule, at(0)).await.unwrap();
    assert!(matches!(store.delete_tenant(acme, &settings(&shelf).await, at(0)).await, Err(DeleteError::HasData)));
    store.delete_rule(acme, &rule, at(0)).await.unwrap();
    let endpoint = shelf.endpoint().await;
    assert!(matches!(store.delete_tenant(acme, &settings(&shelf).await, at(0)).await, Err(DeleteError::HasData)));
    store.delete_endpoint(acme, &endpoint).await.unwrap();
    authenticate(&one).await.expect("it has lost nothing");

    store.delete_tenant(acme, &settings(&shelf).await, at(0)).await.unwrap();
    for key in [&one, &other] {
        assert!(authenticate(key).await.is_err());
    }
    assert_eq!(store.tenants(None, 10).await.unwrap().tenants, []);
    let gone = settings(&shelf).await;
    assert_eq!((gone.created_at, gone.version, gone.zone), (None, 0, Zone::utc()), "as if it had never been");
    assert_eq!(store.tenant_of_token(acme.id().clone()).await.unwrap(), None);

    store.create_tenant(&new_tenant("acme", None), at(0)).await.unwrap();
    key(&shelf).await.expect("it can be created anew");
    store.freeze_zone(acme).await.unwrap();
    assert!(
        matches!(store.delete_tenant(acme, &settings(&shelf).await, at(0)).await, Err(DeleteError::HasData)),
        "it is counted"
    );
}

/// Whatever call a deletion ends at, the tenant is there and seen to be leaving, or as it was, or gone; and it can be deleted again.
#[tokio::test]
async fn a_deletion_that_is_cut_short_is_seen_and_can_be_finished() {
    for (call, nth) in [("UpdateItem", 1), ("TransactWriteItems", 1), ("TransactWriteItems", 2), ("TransactWriteItems", 3)] {
        let shelf = Shelf::new().await;
        let through = Store::new(&shelf.world.config(), tables());
        let (store, acme): (&Store, &Tenant) = (&shelf.store, &shelf.tenant);
        store.create_tenant(&new_tenant("acme", None), at(0)).await.unwrap();
        for _ in 0..2 {
            key(&shelf).await.unwrap();
        }
        shelf.world.front().fault(call, When::Nth(nth), Fault::Invalid);
        let ended = through.delete_tenant(acme, &settings(&shelf).await, at(5_000)).await;
        assert!(matches!(ended, Err(DeleteError::Store(_))), "{call} {nth}: {ended:?}");
        let left = settings(&shelf).await;
        assert!(left.created_at.is_some(), "{call} {nth}");
        if call == "TransactWriteItems" {
            assert_eq!(left.deleting_since, Some(at(5_000)), "{call} {nth}");
            assert!(matches!(key(&shelf).await, Err(KeyError::TenantLeaving)), "{call} {nth}");
            assert!(matches!(
                store.update_tenant(acme, &left, &change("UTC"), at(6_000)).await,
                Err(TenantError::ConditionFailed)
            ));
            assert_eq!(store.create_tenant(&new_tenant("acme", None), at(6_000)).await.unwrap(), TenantCreated::Different);
            assert_eq!(store.tenant_of_token(acme.id().clone()).await.unwrap(), None, "no token acts for it");
        }
        store.delete_tenant(acme, &left, at(9_000)).await.unwrap();
        assert_eq!(settings(&shelf).await.created_at, None, "{call} {nth}");
        assert_eq!(store.keys(&Holder::Tenant(acme.clone()), at(0)).await.unwrap(), [], "{call} {nth}");
    }
}
