//! Asks an issuer for its keys: its configuration, then the key set that this names. OpenID Connect Discovery 1.0 §4.
//!
//! The client follows no redirect and uses no proxy; what it reads is bounded in size and time.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, StatusCode, redirect};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use url::Url;

use super::keys::KeySet;
use crate::settings::IssuerUrl;

/// Most bytes of a configuration, and of a key set.
const DOCUMENT_BYTES_MAX: usize = 64 * 1024;
/// How long both may take together: a request that waits for them has time left for its answer.
const FETCH_TIMEOUT: Duration = Duration::from_secs(4);
/// How long a connection may take of that.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Asks one issuer.
#[derive(Debug, Clone)]
pub(super) struct Fetcher {
    issuer: IssuerUrl,
    http: Client,
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("it does not answer")]
    Unreachable(#[source] reqwest::Error),
    #[error("it does not answer within {FETCH_TIMEOUT:?}")]
    TooSlow,
    #[error("{url} answers {status}")]
    Status { url: Url, status: StatusCode },
    #[error("{0} is longer than {DOCUMENT_BYTES_MAX} bytes")]
    TooLong(Url),
    #[error("{url} is not what it should be")]
    Unreadable {
        url: Url,
        #[source]
        source: serde_json::Error,
    },
    #[error("its configuration is of another issuer, `{0}`")]
    OtherIssuer(String),
    #[error("its keys are at an address that is not https: {0}")]
    Address(String),
}

#[derive(Deserialize)]
struct Configuration {
    issuer: String,
    jwks_uri: String,
}

impl Fetcher {
    /// Trusts the system's certificate authorities.
    pub(super) fn new(issuer: IssuerUrl) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider knows TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let http = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            // It is asked once a minute at most: no connection is worth keeping.
            .pool_max_idle_per_host(0)
            .user_agent(concat!("Tidemark/", env!("CARGO_PKG_VERSION")))
            .build();
        Self { issuer, http: http.expect("a client with a configuration of our own") }
    }

    /// The issuer's keys as they are now.
    ///
    /// # Errors
    /// See [`Error`].
    pub(super) async fn keys(&self) -> Result<KeySet, Error> {
        tokio::time::timeout(FETCH_TIMEOUT, self.both()).await.unwrap_or(Err(Error::TooSlow))
    }

    async fn both(&self) -> Result<KeySet, Error> {
        let url = Url::parse(&self.issuer.configuration()).expect("the issuer's URL with a path after it");
        let document = self.get(url.clone()).await?;
        let read = serde_json::from_slice(&document);
        let Configuration { issuer, jwks_uri } = read.map_err(|source| Error::Unreadable { url, source })?;
        // Else one issuer of a host could speak for another.
        if issuer != self.issuer.as_str() {
            return Err(Error::OtherIssuer(shortened(&issuer)));
        }
        let url = Url::parse(&jwks_uri).ok().filter(|url| self.issuer.admits(url));
        let url = url.ok_or_else(|| Error::Address(shortened(&jwks_uri)))?;
        let document = self.get(url.clone()).await?;
        KeySet::read(&document).map_err(|source| Error::Unreadable { url, source })
    }

    async fn get(&self, url: Url) -> Result<Vec<u8>, Error> {
        let mut response = self.http.get(url.clone()).send().await.map_err(Error::Unreachable)?;
        if response.status() != StatusCode::OK {
            return Err(Error::Status { url, status: response.status() });
        }
        let mut document = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(Error::Unreachable)? {
            if document.len() + chunk.len() > DOCUMENT_BYTES_MAX {
                return Err(Error::TooLong(url));
            }
            document.extend_from_slice(&chunk);
        }
        Ok(document)
    }
}

/// A text of somebody else's as it is logged.
fn shortened(text: &str) -> String {
    text.chars().take(200).collect()
}
