//! The HTTP exchange itself, with a client that can reach the judged addresses and nothing else.

use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::dns::{Name, Resolving};
use reqwest::header::{ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use reqwest::{Client, redirect, retry};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};

use super::{Answer, BODY_READ_MAX, Outcome, Request, Sender};
use crate::policy::{Host, Target, Vetted};
use crate::schedule;

/// Stands where a client would look names up: what was not judged does not resolve.
struct NothingElse;

impl reqwest::dns::Resolve for NothingElse {
    fn resolve(&self, _: Name) -> Resolving {
        Box::pin(async { Err("only judged addresses are connected to".into()) })
    }
}

/// TLS 1.2 and 1.3 with the provider that the AWS SDK uses, too.
pub(super) fn tls(roots: RootCertStore) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider knows TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

impl Sender {
    /// Sends the request and reads the answer as far as it is wanted.
    pub(super) async fn call(
        &self,
        target: &Target,
        vetted: &Vetted,
        request: &Request,
        answer: &mut Answer,
    ) -> Result<(), Outcome> {
        let client = self.client(target, vetted)?;
        let body = request.message.body().clone();
        let sent = client.post(target.url().clone()).headers(self.headers(request)).body(body).send().await;
        let mut response = sent.map_err(|error| Outcome::of_error(&error))?;
        answer.status = Some(response.status());
        answer.peer = response.remote_addr().map(|peer| peer.ip().to_canonical()).or(answer.peer);
        let asked = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        answer.retry_after = asked.and_then(|text| schedule::retry_after(text, request.message.timestamp()));
        while answer.body.len() < BODY_READ_MAX {
            match response.chunk().await.map_err(|error| Outcome::of_error(&error))? {
                Some(chunk) => answer.body.extend_from_slice(&chunk[..chunk.len().min(BODY_READ_MAX - answer.body.len())]),
                None => break,
            }
        }
        Ok(())
    }

    fn client(&self, target: &Target, vetted: &Vetted) -> Result<Client, Outcome> {
        // Port 0 stands for the URL's own.
        let addresses: Vec<SocketAddr> = vetted.addresses().iter().map(|address| SocketAddr::new(*address, 0)).collect();
        let builder = Client::builder()
            .tls_backend_preconfigured(self.tls.clone())
            .dns_resolver(NothingElse)
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .no_proxy()
            .no_gzip()
            .no_brotli()
            .no_deflate()
            .no_zstd()
            .referer(false)
            .http1_only()
            .pool_max_idle_per_host(0)
            .connect_timeout(self.timeouts.connect);
        let pinned = match target.host() {
            Host::Name(name) => builder.resolve_to_addrs(name, &addresses),
            // An address is connected to as it stands.
            Host::Address(_) => builder,
        };
        pinned.build().map_err(|error| {
            tracing::error!(?error, "no client for webhooks");
            Outcome::Local
        })
    }

    fn headers(&self, request: &Request) -> HeaderMap {
        let mut headers = request.headers.to_map();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(USER_AGENT, self.user_agent.clone());
        headers.insert(HeaderName::from_static("tidemark-webhook-attempt"), request.attempt.into());
        headers.insert(HeaderName::from_static("tidemark-webhook-trigger"), HeaderValue::from_static(request.trigger.as_str()));
        for (name, value) in request.message.headers() {
            let value = HeaderValue::from_str(&value).expect("ids, numbers and base64 are visible ASCII");
            headers.insert(HeaderName::from_static(name), value);
        }
        headers
    }
}
