//! An issuer's published keys: a JSON Web Key Set (RFC 7517), as far as it is of use here.

use std::collections::HashMap;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

/// Most keys that are kept of a set. Issuers have a handful.
const KEYS_MAX: usize = 100;

/// The keys of an issuer, by their ids.
#[derive(Debug, Default)]
pub(super) struct KeySet(HashMap<String, Key>);

/// A key for one algorithm, whatever a token that names it says.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub algorithm: Algorithm,
    pub decoding: DecodingKey,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

impl KeySet {
    /// Reads a set. Keys that are for something else, or that cannot be read, are left out: they are for somebody else.
    ///
    /// # Errors
    /// When it is no set at all.
    pub(super) fn read(document: &[u8]) -> Result<Self, serde_json::Error> {
        let Document { keys } = serde_json::from_slice(document)?;
        let mut set = HashMap::new();
        for jwk in keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok()) {
            if let (Some(id), Some(key)) = (&jwk.common.key_id, Key::read(&jwk))
                && set.len() < KEYS_MAX
            {
                // The first of two of one id.
                set.entry(id.clone()).or_insert(key);
            }
        }
        Ok(Self(set))
    }

    pub(super) fn get(&self, id: &str) -> Option<&Key> {
        self.0.get(id)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Key {
    fn read(jwk: &Jwk) -> Option<Self> {
        let (algorithm, named) = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
                (Algorithm::ES256, KeyAlgorithm::ES256)
            }
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
            }
            _ => return None,
        };
        let is_for_signing = jwk.common.public_key_use.as_ref().is_none_or(|used| *used == PublicKeyUse::Signature);
        let is_for_this = jwk.common.key_algorithm.is_none_or(|algorithm| algorithm == named);
        let decoding = DecodingKey::from_jwk(jwk).ok()?;
        (is_for_signing && is_for_this).then_some(Self { algorithm, decoding })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_for_signing_by_the_three_algorithms_are_kept_and_no_others() {
        let (rsa, ec, ed) = (
            json!({ "kty": "RSA", "n": "AQAB", "e": "AQAB" }),
            json!({ "kty": "EC", "crv": "P-256", "x": "AQAB", "y": "AQAB" }),
            json!({ "kty": "OKP", "crv": "Ed25519", "x": "AQAB" }),
        );
        let with = |key: &Value, id: Value, more: Value| {
            let mut key = key.clone();
            key["kid"] = id;
            for (name, value) in more.as_object().into_iter().flatten() {
                key[name] = value.clone();
            }
            key
        };
        let keys = [
            with(&rsa, json!("rsa"), json!({ "use": "sig", "alg": "RS256", "x5t": "ignored" })),
            with(&ec, json!("../ec"), json!({ "alg": "ES256" })),
            with(&ed, json!("ed"), json!({})),
            with(&ec, json!("ed"), json!({})),
            with(&rsa, json!("enc"), json!({ "use": "enc" })),
            with(&rsa, json!("pss"), json!({ "alg": "PS256" })),
            with(&rsa, json!("confused"), json!({ "alg": "HS256" })),
            with(&ec, json!("p384"), json!({ "crv": "P-384" })),
            with(&ec, json!("koblitz"), json!({ "crv": "secp256k1" })),
            with(&rsa, json!(null), json!({})),
            with(&rsa, json!(7), json!({})),
            with(&rsa, json!("spoilt"), json!({ "n": "not base64!" })),
            json!({ "kty": "oct", "kid": "secret", "k": "AQAB" }),
            json!({ "kty": "new", "kid": "new" }),
            json!("no key"),
        ];
        let set = KeySet::read(json!({ "keys": keys }).to_string().as_bytes()).expect("a set");
        let algorithm = |id: &str| set.get(id).map(|key| key.algorithm);
        assert_eq!(algorithm("rsa"), Some(Algorithm::RS256));
        assert_eq!(algorithm("../ec"), Some(Algorithm::ES256));
        assert_eq!(algorithm("ed"), Some(Algorithm::EdDSA), "the first of two");
        assert_eq!(set.len(), 3, "{set:?}");
        for bad in ["", "[]", "{}", r#"{"keys": {}}"#] {
            assert!(KeySet::read(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
