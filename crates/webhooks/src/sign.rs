//! Standard Webhooks 1.0: what is signed, with which secrets, and the three headers that say so.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha2::Sha256;
use tidemark_domain::EventId;

use crate::secret::Secret;

/// An endpoint's live secrets: two while one takes over from the other. When the previous one's grace ends is the caller's to know.
#[derive(Debug, Clone)]
pub struct Secrets {
    pub current: Secret,
    pub previous: Option<Secret>,
}

/// A message with its signatures, for one attempt. Only [`Secrets::sign`] makes one, so the body is the one that was signed.
#[derive(Debug, Clone)]
pub struct Signed {
    id: EventId,
    timestamp: Timestamp,
    body: Bytes,
    signature: String,
}

impl Secrets {
    /// Signs a body as it is sent at `timestamp`, by the current secret first. The event's id is the message's, the same for all
    /// endpoints, attempts and replays; it holds no dot, so no two messages have the same signed bytes.
    pub fn sign(&self, id: EventId, timestamp: Timestamp, body: Bytes) -> Signed {
        let seconds = timestamp.as_second().to_string();
        let of = |secret: &Secret| {
            let mut mac = Hmac::<Sha256>::new_from_slice(secret.bytes()).expect("HMAC takes keys of any length");
            for part in [id.as_str().as_bytes(), b".", seconds.as_bytes(), b".", &body] {
                mac.update(part);
            }
            format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
        };
        let signatures: Vec<String> = [Some(&self.current), self.previous.as_ref()].into_iter().flatten().map(of).collect();
        Signed { signature: signatures.join(" "), id, timestamp, body }
    }
}

impl Signed {
    /// The instant of the attempt.
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Names and values of the headers that the receiver verifies with.
    pub fn headers(&self) -> [(&'static str, String); 3] {
        [
            ("webhook-id", self.id.as_str().to_owned()),
            ("webhook-timestamp", self.timestamp.as_second().to_string()),
            ("webhook-signature", self.signature.clone()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderMap, HeaderName};
    use secrecy::ExposeSecret;
    use standardwebhooks::Webhook;

    use super::*;

    const ID: &str = "evt_01ARZ3NDEKTSV4RRFFQ69G5FAV";
    const BODY: &[u8] = b"{\"type\":\"webhook.ping\"}";

    fn oracle(secret: &Secret) -> Webhook {
        Webhook::new(secret.text().expose_secret()).expect("a secret")
    }

    fn signed_by(secrets: &Secrets, now: Timestamp) -> (Signed, HeaderMap) {
        let signed = secrets.sign(EventId::new(ID).expect("an id"), now, Bytes::from_static(BODY));
        let headers = signed.headers().map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("a value")));
        (signed, HeaderMap::from_iter(headers))
    }

    #[test]
    fn the_signature_is_that_of_the_official_library() {
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("the specification's example");
        let at = Timestamp::from_second(1_614_265_330).expect("an instant");
        let (signed, headers) = signed_by(&Secrets { current: secret.clone(), previous: None }, at);
        let expected = oracle(&secret).sign(ID, 1_614_265_330, BODY).expect("signs");
        assert_eq!(headers["webhook-signature"], expected);
        assert_eq!(
            (&headers["webhook-id"], &headers["webhook-timestamp"]),
            (&ID.parse().unwrap(), &"1614265330".parse().unwrap())
        );
        assert_eq!(signed.body(), BODY);
    }

    #[test]
    fn during_a_rotation_both_secrets_verify_and_no_other() {
        let [current, previous, foreign] = [(); 3].map(|()| Secret::generate());
        // The official library compares with the wall clock.
        let (_, headers) =
            signed_by(&Secrets { current: current.clone(), previous: Some(previous.clone()) }, tidemark_runtime::clock::now());
        assert!(oracle(&current).verify(BODY, &headers).is_ok());
        assert!(oracle(&previous).verify(BODY, &headers).is_ok());
        assert!(oracle(&foreign).verify(BODY, &headers).is_err());
        assert!(oracle(&current).verify(b"{}", &headers).is_err());
        let value = headers["webhook-signature"].to_str().expect("text");
        let (first, _) = value.split_once(' ').expect("two signatures");
        let (_, alone) = signed_by(&Secrets { current, previous: None }, signed_at(&headers));
        assert_eq!(first, alone["webhook-signature"], "the current secret's comes first");
        assert_eq!(STANDARD.decode(&first["v1,".len()..]).expect("base64").len(), 32);
    }

    fn signed_at(headers: &HeaderMap) -> Timestamp {
        let seconds = headers["webhook-timestamp"].to_str().expect("text").parse().expect("seconds");
        Timestamp::from_second(seconds).expect("an instant")
    }
}
