//! An OpenID Connect issuer on loopback: its configuration, its keys, and tokens good and bad.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, StatusCode};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256};
use serde_json::{Value, json};
use tidemark_api::OidcSettings;
use tidemark_runtime::clock;
use tidemark_tests::server;
use tokio::task::JoinSet;

/// Bytes before the RSA key itself in the PKCS #8 form of one of 2048 bits.
const PKCS8_HEAD: usize = 26;

/// What the issuer answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mood {
    Good,
    Down,
    /// Sends whoever asks for its configuration to another address of its own.
    Redirects,
    /// Names this issuer as itself.
    Claims(String),
    /// Says that its keys are here.
    KeysAt(String),
    /// Its keys come with so many bytes of nothing.
    Padded(usize),
    /// Accepts requests and never answers them.
    Silent,
}

/// A running issuer. It ends when it is dropped.
pub(super) struct Issuer {
    pub url: String,
    desk: Arc<Mutex<Desk>>,
    _server: JoinSet<()>,
}

struct Desk {
    url: String,
    mood: Mood,
    keys: Vec<Value>,
    /// Paths that were asked for, in order.
    asked: Vec<String>,
}

/// A key that signs tokens.
#[derive(Clone)]
pub(super) struct Signer {
    pub kid: String,
    pub algorithm: Algorithm,
    encoding: EncodingKey,
    /// As the issuer publishes it.
    pub jwk: Value,
}

impl Issuer {
    pub(super) async fn start() -> Self {
        let (listener, address) = server::listen().await;
        let url = format!("http://{address}/realm");
        let desk = Desk { url: url.clone(), mood: Mood::Good, keys: Vec::new(), asked: Vec::new() };
        let desk = Arc::new(Mutex::new(desk));
        let (mut server, at) = (JoinSet::new(), Arc::clone(&desk));
        let answer = move |request: Request<_>| {
            let at = Arc::clone(&at);
            async move {
                let (answer, is_silent) = answer(&at, request.uri().path());
                if is_silent {
                    std::future::pending::<()>().await;
                }
                Ok::<_, Infallible>(answer)
            }
        };
        server.spawn(server::serve(listener, answer));
        Self { url, desk, _server: server }
    }

    pub(super) fn settings(&self) -> OidcSettings {
        OidcSettings {
            issuer: self.url.parse().unwrap(),
            audience: "tidemark".to_owned(),
            tenant_claim: "tenant".to_owned(),
            scopes_claim: "scope".to_owned(),
            clients: BTreeSet::new(),
        }
    }

    pub(super) fn publish(&self, signers: &[&Signer]) {
        self.desk().keys = signers.iter().map(|signer| signer.jwk.clone()).collect();
    }

    pub(super) fn is(&self, mood: Mood) {
        self.desk().mood = mood;
    }

    /// How often it was asked for this since the last time.
    pub(super) fn asked(&self, end: &str) -> usize {
        let asked = std::mem::take(&mut self.desk().asked);
        asked.iter().filter(|path| path.ends_with(end)).count()
    }

    /// The claims of a good token of a tenant's.
    pub(super) fn claims(&self, tenant: &str, scopes: &str) -> Value {
        let now = clock::now().as_second();
        json!({
            "iss": self.url, "aud": "tidemark", "sub": "user-7", "iat": now, "nbf": now - 5, "exp": now + 3_600,
            "tenant": tenant, "scope": scopes
        })
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap()
    }
}

impl Signer {
    pub(super) fn new(kid: &str, algorithm: Algorithm) -> Self {
        let pair = KeyPair::generate_for(match algorithm {
            Algorithm::RS256 => &PKCS_RSA_SHA256,
            Algorithm::ES256 => &PKCS_ECDSA_P256_SHA256,
            Algorithm::EdDSA => &PKCS_ED25519,
            other => panic!("no issuer signs by {other:?}"),
        });
        let pair = pair.unwrap();
        let der = pair.serialize_der();
        let encoding = match algorithm {
            Algorithm::RS256 => EncodingKey::from_rsa_der(&der[PKCS8_HEAD..]),
            Algorithm::ES256 => EncodingKey::from_ec_der(&der),
            _ => EncodingKey::from_ed_der(&der),
        };
        let mut jwk = match algorithm {
            Algorithm::EdDSA => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(pair.public_key_raw()) })
            }
            _ => serde_json::to_value(Jwk::from_encoding_key(&encoding, algorithm).unwrap()).unwrap(),
        };
        jwk["kid"] = json!(kid);
        jwk["use"] = json!("sig");
        Self { kid: kid.to_owned(), algorithm, encoding, jwk }
    }

    pub(super) fn header(&self) -> Value {
        json!({ "alg": self.algorithm, "kid": self.kid, "typ": "at+jwt" })
    }

    pub(super) fn token(&self, claims: &Value) -> String {
        self.sign(&self.header(), claims)
    }

    /// Signs whatever is given.
    pub(super) fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = message(header, claims);
        let signature = crypto::sign(message.as_bytes(), &self.encoding, self.algorithm).unwrap();
        format!("{message}.{signature}")
    }
}

/// The part of a token that is signed.
pub(super) fn message(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

/// What it answers, and whether it never does.
fn answer(desk: &Mutex<Desk>, path: &str) -> (Response<Full<Bytes>>, bool) {
    let mut desk = desk.lock().unwrap();
    desk.asked.push(path.to_owned());
    let own = || format!("{}/jwks", desk.url);
    let (issuer, keys_at) = match &desk.mood {
        Mood::Claims(issuer) => (issuer.clone(), own()),
        Mood::KeysAt(address) => (desk.url.clone(), address.clone()),
        _ => (desk.url.clone(), own()),
    };
    let configuration = json!({ "issuer": issuer, "jwks_uri": keys_at, "response_types_supported": ["code"] }).to_string();
    let padding = if let Mood::Padded(bytes) = desk.mood { " ".repeat(bytes) } else { String::new() };
    let (status, body) = match (&desk.mood, path) {
        (Mood::Down, _) => (503, String::new()),
        (Mood::Redirects, "/realm/.well-known/openid-configuration") => (302, String::new()),
        (_, "/realm/.well-known/openid-configuration" | "/realm/elsewhere") => (200, configuration),
        (_, "/realm/jwks") => (200, json!({ "keys": desk.keys }).to_string() + &padding),
        _ => (404, String::new()),
    };
    let response = Response::builder().status(StatusCode::from_u16(status).unwrap());
    (response.header("location", "/realm/elsewhere").body(Full::from(body)).unwrap(), desk.mood == Mood::Silent)
}
