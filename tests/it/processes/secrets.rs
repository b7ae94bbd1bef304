//! A change of the key that secrets are sealed with, to its end.

use jiff::ToSpan;
use secrecy::ExposeSecret;
use tidemark_domain::{EndpointId, TenantId};
use tidemark_runtime::clock;
use tidemark_store::{Endpoint, EndpointState, PreviousSecret, Tenant};
use tidemark_tests::{Deployment, oracle};
use tidemark_webhooks::seal::{Owner, Sealed, SealingKeys};
use tidemark_webhooks::secret::Secret;

use super::process::{Ended, run};

const OLD: ([u8; 32], &str) = (*b"0123456789012345678901234567890a", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MGE=");
const NEW: ([u8; 32], &str) = (*b"0123456789012345678901234567890b", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MGI=");
const OTHER: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MGM=";

/// Of both tenants' endpoints.
const ID: &str = "ep_01ARZ3NDEKTSV4RRFFQ69G5FAY";

async fn reseal(deployment: &Deployment, current: &str, previous: Option<&str>) -> Ended {
    let mut variables = deployment.world.variables().to_vec();
    variables.push(("TIDEMARK_SECRET_KEY", current.to_owned()));
    variables.extend(previous.map(|previous| ("TIDEMARK_SECRET_KEY_PREVIOUS", previous.to_owned())));
    run("tidemark", &["secrets", "reseal"], &variables).await
}

/// An endpoint whose secrets are sealed with the old key, and both secrets.
async fn endpoint(deployment: &Deployment, tenant: &Tenant) -> (EndpointId, [Secret; 2]) {
    let (id, secrets, now) = (EndpointId::new(ID).unwrap(), [Secret::generate(), Secret::generate()], clock::now());
    let owner = Owner { tenant: tenant.id(), endpoint: &id };
    let sealed = |secret| String::from(SealingKeys::new(&OLD.0, None).seal(secret, owner));
    let endpoint = Endpoint {
        id: id.clone(),
        url: "https://example.org/hooks".to_owned(),
        event_types: None,
        description: None,
        headers: Default::default(),
        state: EndpointState::Enabled,
        secret: sealed(&secrets[0]),
        previous_secret: Some(PreviousSecret { secret: sealed(&secrets[1]), until: now + 1.hour() }),
        health: None,
        created_at: now,
        updated_at: now,
        version: 1,
    };
    deployment.store.create_endpoint(tenant, &endpoint).await.unwrap();
    (id, secrets)
}

#[tokio::test]
async fn all_secrets_are_sealed_with_the_new_key_and_the_old_one_can_go() {
    let deployment = Deployment::start(oracle::DEFINITIONS).await;
    deployment.create_tenant("acme", "UTC").await;
    // Nobody created the second: it has an endpoint because somebody made a key for it.
    let tenants = ["acme", "demo"].map(|id| Tenant::named_by_operator(TenantId::new(id).unwrap()));
    let mut endpoints = Vec::new();
    for tenant in &tenants {
        endpoints.push((tenant, endpoint(&deployment, tenant).await));
    }

    let neither = reseal(&deployment, OTHER, Some(NEW.1)).await;
    assert_eq!((neither.code, neither.stdout.as_str()), (Some(1), "0 endpoints sealed anew, 0 already with this key\n"));
    let told = neither.told();
    assert!(told[0].contains(": neither key opens its secret: rotate it"), "{told:?}");
    assert_eq!(told.last(), Some(&"error: 2 endpoints cannot be opened"));

    for expected in ["2 endpoints sealed anew, 0 already with this key\n", "0 endpoints sealed anew, 2 already with this key\n"] {
        let ended = reseal(&deployment, NEW.1, Some(OLD.1)).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), expected), "{ended:?}");
    }
    let keys = SealingKeys::new(&NEW.0, None);
    for (tenant, (id, secrets)) in endpoints {
        let stored = deployment.store.endpoint(tenant, &id).await.unwrap().unwrap();
        let sealed = [stored.secret, stored.previous_secret.unwrap().secret];
        let owner = Owner { tenant: tenant.id(), endpoint: &id };
        for (sealed, secret) in sealed.into_iter().zip(secrets) {
            let opened = keys.open(&Sealed::try_from(sealed).unwrap(), owner).unwrap();
            assert_eq!(opened.text().expose_secret(), secret.text().expose_secret());
        }
    }
}

#[tokio::test]
async fn a_missing_key_is_wrong_use() {
    let deployment = Deployment::start(oracle::DEFINITIONS).await;
    let ended = run("tidemark", &["secrets", "reseal"], &deployment.world.variables()).await;
    assert_eq!(ended.code, Some(2));
    assert!(ended.told()[0].contains("TIDEMARK_SECRET_KEY: not set"), "{ended:?}");
}
