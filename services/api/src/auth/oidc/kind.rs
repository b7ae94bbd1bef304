//! Tells access tokens from ID tokens. Both are JWTs of one issuer by the same keys, and may have the same audience; an ID token says who
//! signed in to a client, and is no permission to call an API (OpenID Connect Core 1.0 §2; RFC 9068 §2.1 and §5).

use serde_json::{Map, Value};

/// Why a token is refused whose `typ` header is not accepted.
pub(super) const REFUSED: &str = "the token's type (`typ`) is not that of an access token: at+jwt or JWT";

/// Types that a header may state: that of access tokens (RFC 9068 §2.1), and that of any JWT, which most issuers write (RFC 7519 §5.1).
/// `application/` may be left out, and case does not matter (RFC 7515 §4.1.9).
const ACCEPTED: [&str; 2] = ["at+jwt", "jwt"];

/// Claims of ID tokens alone: `nonce` (OpenID Connect Core 1.0 §2), `at_hash` (§3.1.3.6), `c_hash` (§3.3.2.11).
const OF_ID_TOKENS: [&str; 3] = ["nonce", "at_hash", "c_hash"];

/// Whether a header's `typ` is one of those.
pub(super) fn is_accepted(typ: &str) -> bool {
    let typ = typ.to_ascii_lowercase();
    ACCEPTED.contains(&typ.strip_prefix("application/").unwrap_or(&typ))
}

/// Whether claims are those of an ID token. Two issuers say it in a claim of their own: Keycloak has `typ` `ID` or `Bearer`, Amazon Cognito
/// `token_use` `id` or `access`.
pub(super) fn is_id_token(claims: &Map<String, Value>) -> bool {
    let is = |name: &str, value: &str| claims.get(name).and_then(Value::as_str) == Some(value);
    // Keycloak before 24 copies the nonce into access tokens.
    let may_have = |name: &str| name == "nonce" && is("typ", "Bearer");
    is("typ", "ID") || is("token_use", "id") || OF_ID_TOKENS.iter().any(|name| claims.contains_key(*name) && !may_have(name))
}

/// The client that a token was issued to: `azp` (OpenID Connect Core 1.0 §2), or else `client_id` (RFC 9068 §2.2).
pub(super) fn client(claims: &Map<String, Value>) -> Option<&str> {
    claims.get("azp").or_else(|| claims.get("client_id")).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(claims: Value) -> Map<String, Value> {
        let Value::Object(claims) = claims else { panic!("claims are an object") };
        claims
    }

    #[test]
    fn a_type_is_an_access_tokens_or_says_nothing() {
        for good in ["at+jwt", "application/at+jwt", "AT+JWT", "JWT", "jwt"] {
            assert!(is_accepted(good), "{good}");
        }
        for bad in ["", "id+jwt", "dpop+jwt", "logout+jwt", "secevent+jwt", "JOSE", "application/", "text/jwt", "at+jwt "] {
            assert!(!is_accepted(bad), "{bad}");
        }
    }

    #[test]
    fn claims_that_only_id_tokens_have_make_an_id_token() {
        for bad in [
            json!({ "nonce": "n" }),
            json!({ "nonce": null }),
            json!({ "at_hash": "h" }),
            json!({ "c_hash": "h" }),
            json!({ "typ": "ID" }),
            json!({ "typ": "Bearer", "at_hash": "h" }),
            json!({ "token_use": "id" }),
        ] {
            assert!(is_id_token(&claims(bad.clone())), "{bad}");
        }
        for good in [json!({}), json!({ "typ": "Bearer", "nonce": "n" }), json!({ "token_use": "access", "client_id": "c" })] {
            assert!(!is_id_token(&claims(good.clone())), "{good}");
        }
    }

    #[test]
    fn the_client_is_the_authorised_party_before_the_client_id() {
        assert_eq!(client(&claims(json!({ "azp": "a", "client_id": "c" }))), Some("a"));
        assert_eq!(client(&claims(json!({ "client_id": "c" }))), Some("c"));
        for none in [json!({}), json!({ "azp": 7, "client_id": "c" }), json!({ "client_id": ["c"] })] {
            assert_eq!(client(&claims(none.clone())), None, "{none}");
        }
    }
}
