//! What the claims of a genuine token come to. Signatures, keys and the issuer itself are tested over real HTTP, in `tests/it/api/oidc`.

use serde_json::json;

use super::*;

const NOW: i64 = 1_800_000_000;

fn read(claims: &Value) -> Result<Token, TokenError> {
    read_of(&[], claims)
}

fn read_of(clients: &[&str], claims: &Value) -> Result<Token, TokenError> {
    let tokens = Tokens::new(OidcSettings {
        issuer: "http://127.0.0.1:9".parse().expect("an issuer"),
        audience: "tidemark".to_owned(),
        tenant_claim: "https://example.com/tenant".to_owned(),
        scopes_claim: "scp".to_owned(),
        clients: clients.iter().map(|id| (*id).to_owned()).collect(),
    });
    let Value::Object(claims) = claims else { panic!("claims are an object") };
    tokens.read(claims, Timestamp::from_second(NOW).expect("an instant"))
}

fn claims(changes: &Value) -> Value {
    let mut claims = json!({ "exp": NOW + 300, "https://example.com/tenant": "acme", "sub": "user-7" });
    for (name, value) in changes.as_object().expect("an object") {
        claims[name] = value.clone();
    }
    claims
}

#[test]
fn times_have_a_minute_of_leeway_and_no_more() {
    let is_good = |changes: Value| read(&claims(&changes)).is_ok();
    assert!(is_good(json!({ "exp": NOW - 59 })) && is_good(json!({ "exp": NOW as f64 + 0.5 })));
    assert!(is_good(json!({ "nbf": NOW + 60 })) && is_good(json!({ "nbf": 0 })));
    for bad in [
        json!({ "exp": NOW - 60 }),
        json!({ "exp": null }),
        json!({ "exp": "2100-01-01" }),
        json!({ "exp": (NOW + 300).to_string() }),
        json!({ "nbf": NOW + 61 }),
        json!({ "nbf": "now" }),
        json!({ "nbf": null }),
    ] {
        assert!(!is_good(bad.clone()), "{bad}");
    }
    assert!(read(&json!({ "https://example.com/tenant": "acme", "sub": "user-7" })).is_err(), "a token must expire");
}

#[test]
fn the_tenant_is_a_tenants_id_and_nothing_like_it() {
    assert_eq!(read(&claims(&json!({}))).map(|token| token.tenant.to_string()).as_deref(), Ok("acme"));
    for bad in [json!(null), json!(7), json!(["acme"]), json!(""), json!("a#b"), json!("a/b"), json!("x".repeat(65))] {
        assert!(read(&claims(&json!({ "https://example.com/tenant": bad }))).is_err(), "{bad}");
    }
    assert!(read(&json!({ "exp": NOW + 300, "tenant": "acme", "sub": "user-7" })).is_err(), "another claim is not the claim");
}

#[test]
fn scopes_are_a_text_or_a_list_and_never_an_operators() {
    let scopes = |claim: Value| read(&claims(&json!({ "scp": claim }))).expect("a token").scopes;
    let both = BTreeSet::from([Scope::MetricsRead, Scope::AlertsRead]);
    assert_eq!(scopes(json!("openid metrics:read operator alerts:read")), both);
    assert_eq!(scopes(json!(["metrics:read", "operator", 7, "alerts:read", "email"])), both);
    for none in [json!(null), json!(7), json!({ "metrics:read": true }), json!(""), json!("Metrics:read operator")] {
        assert_eq!(scopes(none.clone()), BTreeSet::new(), "{none}");
    }
    assert_eq!(read(&claims(&json!({}))).expect("a token").scopes, BTreeSet::new());
}

#[test]
fn a_subject_is_short_and_visible() {
    let subject = |claim: Value| read(&claims(&json!({ "sub": claim }))).expect("a token").subject;
    assert_eq!(subject(json!("auth0|5f7c8ec7c33c6c004bbafe82")), "auth0|5f7c8ec7c33c6c004bbafe82");
    for none in [json!(null), json!(""), json!(7)] {
        assert!(read(&claims(&json!({ "sub": none }))).is_err(), "{none}");
    }
    for odd in ["two words", "line\nbreak", "ä", &"x".repeat(129)] {
        let shown = subject(json!(odd));
        assert!(shown.len() == 64 && shown.bytes().all(|c| c.is_ascii_hexdigit()), "{odd}: {shown}");
    }
}

#[test]
fn an_id_token_is_no_access_token() {
    for of_id_token in [json!({ "nonce": "n" }), json!({ "at_hash": "h" }), json!({ "typ": "ID" }), json!({ "token_use": "id" })]
    {
        let refused = read(&claims(&of_id_token)).expect_err("an ID token").to_string();
        assert!(refused.contains("send the access token"), "{of_id_token}: {refused}");
    }
}

#[test]
fn a_token_is_of_one_of_the_clients_if_they_are_named() {
    let is_good = |changes: Value| read_of(&["dashboard", "app"], &claims(&changes)).is_ok();
    assert!(is_good(json!({ "azp": "dashboard" })) && is_good(json!({ "client_id": "app" })));
    for bad in
        [json!({}), json!({ "azp": "other", "client_id": "app" }), json!({ "azp": "" }), json!({ "client_id": "dashboard,app" })]
    {
        assert!(!is_good(bad.clone()), "{bad}");
    }
    assert!(read(&claims(&json!({ "azp": "other" }))).is_ok(), "any client unless they are named");
}
