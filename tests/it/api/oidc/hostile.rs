//! Tokens that must not be accepted, each with what is wrong with it.

use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::{Value, json};
use tidemark_runtime::clock;

use super::ALL;
use super::issuer::{Issuer, Signer, message};

/// Tokens that the issuer has signed and that are not for us, not for now, or for no tenant.
pub(super) fn claims(issuer: &Issuer, signer: &Signer) -> Vec<(&'static str, String)> {
    let (good, now) = (issuer.claims("acme", ALL), clock::now().as_second());
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        signer.token(&claims)
    };
    let without = |name: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(name);
        signer.token(&claims)
    };
    vec![
        ("another issuer", with("iss", json!("https://evil.example.com"))),
        ("an issuer with a slash more", with("iss", json!(format!("{}/", issuer.url)))),
        ("no issuer", without("iss")),
        ("another audience", with("aud", json!("billing"))),
        ("other audiences", with("aud", json!(["billing", "tidemark2"]))),
        ("no audience", without("aud")),
        ("expired", with("exp", json!(now - 120))),
        ("no expiry", without("exp")),
        ("expiry in words", with("exp", json!("2126-01-01"))),
        ("not yet valid", with("nbf", json!(now + 600))),
        ("no subject", without("sub")),
        ("no tenant", without("tenant")),
        ("a tenant that is a number", with("tenant", json!(7))),
        ("a tenant that is a list", with("tenant", json!(["acme"]))),
        ("a tenant of wrong form", with("tenant", json!("acme#KEY"))),
        ("a tenant nobody created", with("tenant", json!("unheard-of"))),
        ("an ID token's nonce", with("nonce", json!("n-0S6_WzA2Mj"))),
        ("an ID token's hash of an access token", with("at_hash", json!("77QmUPtjPfzWtF2AnpK9RQ"))),
        ("an ID token of Keycloak", with("typ", json!("ID"))),
        ("an ID token of Cognito", with("token_use", json!("id"))),
        ("huge", with("padding", json!("x".repeat(8 * 1024)))),
    ]
}

/// Tokens with good claims that the issuer has not signed, or not in this form.
pub(super) fn forms(issuer: &Issuer, [rsa, ec, ed]: &[Signer; 3]) -> Vec<(&'static str, String)> {
    let good = issuer.claims("acme", ALL);
    let token = rsa.token(&good);
    let parts: Vec<&str> = token.split('.').collect();
    let headed = |name: &str, value: Value| {
        let mut header = rsa.header();
        header[name] = value;
        rsa.sign(&header, &good)
    };
    let none = |alg: &str| message(&json!({ "alg": alg, "kid": rsa.kid }), &good) + ".";
    let confused = |key: &[u8]| {
        let message = message(&json!({ "alg": "HS256", "kid": rsa.kid }), &good);
        let signature = crypto::sign(message.as_bytes(), &EncodingKey::from_secret(key), Algorithm::HS256).unwrap();
        format!("{message}.{signature}")
    };
    let stranger = Signer::new("rsa", Algorithm::RS256);
    let mut own_key = stranger.header();
    own_key["jwk"] = stranger.jwk.clone();
    let changed = message(&rsa.header(), &issuer.claims("rival", ALL));
    vec![
        ("alg none", none("none")),
        ("alg None", none("None")),
        ("alg none, signed", none("none") + parts[2]),
        ("HS256 by the modulus", confused(rsa.jwk["n"].as_str().unwrap().as_bytes())),
        ("HS256 by the JWK", confused(rsa.jwk.to_string().as_bytes())),
        ("HS256 by nothing", confused(b"")),
        ("an algorithm that is not the key's", ed.sign(&json!({ "alg": "EdDSA", "kid": rsa.kid }), &good)),
        ("a header that is not the signature's", ec.sign(&rsa.header(), &good)),
        ("another's claims under a signature", format!("{changed}.{}", parts[2])),
        ("a stranger's key of the same name", stranger.token(&good)),
        ("a stranger's key in the header", stranger.sign(&own_key, &good)),
        ("no kid", headed("kid", Value::Null)),
        ("a kid that is a path", headed("kid", json!("../../../etc/passwd"))),
        ("a kid that is a URL", headed("kid", json!("https://evil.example.com/jwks"))),
        ("a kid that is a number", headed("kid", json!(7))),
        ("a logout token", headed("typ", json!("logout+jwt"))),
        ("a type of no form", headed("typ", json!("text/html"))),
        ("critical headers", headed("crit", json!(["exp"]))),
        ("no critical headers, critically", headed("crit", json!([]))),
        ("critical headers of no form", headed("crit", json!("exp"))),
        ("cut short", token[..token.len() - 9].to_owned()),
        ("no signature", format!("{}.{}", parts[0], parts[1])),
        ("an empty signature", format!("{}.{}.", parts[0], parts[1])),
        ("no dots", parts.concat()),
        ("only dots", "..".to_owned()),
        ("four parts", format!("{token}.{}", parts[2])),
        ("five parts", format!("{token}..")),
        ("an API key's beginning", format!("tdm_{token}")),
        ("not base64", format!("{}!.{}.{}", parts[0], parts[1], parts[2])),
        ("no JSON", "AAAA.AAAA.AAAA".to_owned()),
    ]
}
