//! Attempts over TLS: whom a sender trusts, and how the failures are told apart.

use rcgen::{CertificateParams, CertifiedKey, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::*;

const NAME: &str = "receiver.test";

/// A self-signed certificate for [`NAME`], good or expired.
fn certificate(expired: bool) -> CertifiedKey<KeyPair> {
    let mut params = CertificateParams::new([NAME.to_owned()]).expect("a name");
    if expired {
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    }
    let signing_key = KeyPair::generate().expect("a key");
    CertifiedKey { cert: params.self_signed(&signing_key).expect("a certificate"), signing_key }
}

async fn receiver(certificate: &CertifiedKey<KeyPair>) -> Receiver {
    let key = PrivateKeyDer::try_from(certificate.signing_key.serialize_der()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider knows them")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.cert.der().clone()], key)
        .expect("a certificate and its key");
    Receiver::start_with(Reply::status("200 OK", "over TLS"), Some(TlsAcceptor::from(Arc::new(config)))).await
}

async fn attempt(trusted: Option<CertificateDer<'static>>, name: &str, port: u16) -> Attempt {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(trusted);
    let sender = Sender::trusting(roots, policy("127.0.0.0/8"), Scripted::new(&[&["127.0.0.1"]]), "1");
    sender.send(&request(format!("https://{name}:{port}/hook"))).await
}

#[tokio::test]
async fn a_trusted_receiver_is_delivered_to_over_tls() {
    let good = certificate(false);
    let receiver = receiver(&good).await;
    let attempt = attempt(Some(good.cert.der().clone()), NAME, receiver.port()).await;
    assert_eq!((attempt.outcome, attempt.snippet.as_str()), (Outcome::Delivered, "over TLS"));
    assert_eq!(receiver.received()[0].headers["host"], format!("{NAME}:{}", receiver.port()));
}

#[tokio::test]
async fn a_certificate_that_is_not_to_be_trusted_is_told_apart() {
    let (good, other, expired) = (certificate(false), certificate(false), certificate(true));
    let (fine, late) = (receiver(&good).await, receiver(&expired).await);
    for (trusted, name, receiver) in [(&other, NAME, &fine), (&good, "other.test", &fine), (&expired, NAME, &late)] {
        let attempt = attempt(Some(trusted.cert.der().clone()), name, receiver.port()).await;
        assert_eq!((attempt.outcome, attempt.status), (Outcome::Certificate, None), "{name}");
        assert!(receiver.received().is_empty(), "nothing is sent to a stranger");
    }
    // Whoever trusts nobody can blame nobody.
    assert_eq!(attempt(None, NAME, fine.port()).await.outcome, Outcome::Local);
}

#[tokio::test]
async fn a_receiver_without_tls_fails_the_handshake() {
    let good = certificate(false);
    for answer in ["HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n", ""] {
        let receiver = Receiver::start(Reply::Deaf(answer.into())).await;
        let attempt = attempt(Some(good.cert.der().clone()), NAME, receiver.port()).await;
        assert_eq!(attempt.outcome, Outcome::Tls);
    }
}

#[tokio::test]
async fn a_handshake_that_never_comes_ends_with_the_time_to_connect() {
    let receiver = Receiver::start(Reply::Silence).await;
    let sender = sender(Scripted::new(&[&["127.0.0.1"]]));
    let impatient = sender.with_timeouts(Timeouts { connect: SHORT.connect, ..Timeouts::STANDARD });
    let attempt = impatient.send(&request(format!("https://{NAME}:{}/hook", receiver.port()))).await;
    assert_eq!((attempt.outcome, attempt.outcome.is_ours()), (Outcome::Timeout, false));
    assert!(attempt.elapsed < Timeouts::STANDARD.connect, "{:?}", attempt.elapsed);
}
