//! A receiver of webhooks for newcomers to watch: on loopback, at an endpoint of its own, it says in one line each what arrives.
//!
//! It does what a tenant's receiver should. The body is bounded, nothing is believed before the official library has verified the
//! signature, and of what does not verify nothing is shown.

mod story;

use std::convert::Infallible;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use secrecy::ExposeSecret;
use standardwebhooks::{Webhook, WebhookError};
use tidemark_domain::EndpointId;
use tidemark_runtime::clock;
use tidemark_runtime::listen;
use tidemark_runtime::process::{Failure, chain};
use tidemark_runtime::settings::SecretKeys;
use tidemark_store::{Endpoint, EndpointState, Store, Tenant, ulid};
use tidemark_webhooks::event::BODY_BYTES_MAX;
use tidemark_webhooks::seal::{self, Owner, Sealed, SealingKeys};
use tidemark_webhooks::secret::Secret;
use tokio::net::{TcpListener, TcpStream};

use self::story::Story;
use super::sample;

/// Webhooks received at the same time; more wait to be accepted.
const CONNECTIONS_MAX: usize = 32;
/// How long one exchange may take.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(10);
/// The part of the endpoint's id that is not its time, which is the first there is: the same endpoint in every run on one directory.
const ENDPOINT: u128 = 1;
const DESCRIPTION: &str = "The receiver of `tidemark dev`";

/// A receiver with its endpoint.
pub(super) struct Receiver {
    store: Store,
    tenant: Tenant,
    endpoint: EndpointId,
    sealing: SealingKeys,
}

/// Where is told what arrives.
#[derive(Debug, Clone, Copy)]
pub(super) enum Outlet {
    /// On standard output, for people.
    Terminal,
    /// In the log: standard output belongs to scripts.
    Log,
}

/// Why a request is not taken for a webhook.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("its body is cut off or too long")]
    Body,
    #[error("its endpoint is gone")]
    NoEndpoint,
    #[error("its endpoint cannot be read")]
    Store(#[from] tidemark_store::Error),
    #[error("its endpoint's secret cannot be opened")]
    Sealed(#[from] seal::Error),
    #[error("its signature does not fit")]
    Signature(#[from] WebhookError),
    #[error("it is no event")]
    Unreadable(#[from] serde_json::Error),
}

impl Receiver {
    /// Makes the receiver's endpoint, or has the one of an earlier run lead to this run's URL.
    pub(super) async fn register(store: &Store, keys: &SecretKeys, url: String) -> Result<Self, Failure> {
        let (now, tenant) = (clock::now(), Tenant::named_by_operator(sample::stock_tenant()));
        let endpoint = EndpointId::from_ulid_text(&ulid(Timestamp::UNIX_EPOCH, ENDPOINT)).expect("a ULID's text");
        let receiver =
            Self { store: store.clone(), tenant, endpoint, sealing: SealingKeys::new(&keys.current, keys.previous.as_deref()) };
        let tenant = &receiver.tenant;
        match store.endpoint(tenant, &receiver.endpoint).await? {
            None => store.create_endpoint(tenant, &receiver.new_endpoint(url, now)).await?,
            Some(read) => {
                let to = Endpoint { url, updated_at: now, ..read.clone() };
                store.update_endpoint(tenant, &read, to).await?;
            }
        }
        Ok(receiver)
    }

    fn new_endpoint(&self, url: String, now: Timestamp) -> Endpoint {
        Endpoint {
            id: self.endpoint.clone(),
            url,
            event_types: None,
            description: Some(DESCRIPTION.to_owned()),
            headers: std::collections::BTreeMap::new(),
            state: EndpointState::Enabled,
            secret: self.sealing.seal(&Secret::generate(), self.owner()).into(),
            previous_secret: None,
            health: None,
            created_at: now,
            updated_at: now,
            version: 1,
        }
    }

    fn owner(&self) -> Owner<'_> {
        Owner { tenant: self.tenant.id(), endpoint: &self.endpoint }
    }

    /// Receives until its task is stopped.
    pub(super) async fn serve(self, listener: TcpListener, outlet: Outlet) {
        let receiver = Arc::new(self);
        let serve = |stream| Arc::clone(&receiver).exchange(stream, outlet);
        listen::accept(listener, CONNECTIONS_MAX, std::future::pending(), serve).await;
    }

    async fn exchange(self: Arc<Self>, stream: TcpStream, outlet: Outlet) {
        let service = service_fn(async |request| Ok::<_, Infallible>(self.answer(request, outlet).await));
        let serving = http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service);
        match tokio::time::timeout(EXCHANGE_TIMEOUT, serving).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "a sender hung up"),
            Err(_) => tracing::debug!("a sender was too slow"),
        }
    }

    async fn answer(&self, request: Request<Incoming>, outlet: Outlet) -> Response<Full<Bytes>> {
        let status = if request.method() == Method::POST {
            let story = self.take(request).await;
            outlet.tell(&story);
            match story {
                Ok(_) => StatusCode::NO_CONTENT,
                // Sent again later, it may be taken.
                Err(Error::Store(_)) => StatusCode::SERVICE_UNAVAILABLE,
                Err(_) => StatusCode::BAD_REQUEST,
            }
        } else {
            StatusCode::METHOD_NOT_ALLOWED
        };
        let mut response = Response::new(Full::default());
        *response.status_mut() = status;
        response
    }

    async fn take(&self, request: Request<Incoming>) -> Result<Story, Error> {
        let (parts, body) = request.into_parts();
        let body = Limited::new(body, BODY_BYTES_MAX).collect().await.map_err(|_| Error::Body)?.to_bytes();
        self.verify(&parts.headers, &body).await?;
        Ok(Story::read(&body)?)
    }

    /// Verifies with the endpoint's secrets as they are now: they may be rotated while this runs.
    async fn verify(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), Error> {
        let endpoint = self.store.endpoint(&self.tenant, &self.endpoint).await?.ok_or(Error::NoEndpoint)?;
        let verified = self.verify_by(endpoint.secret, headers, body);
        match endpoint.previous_secret.filter(|previous| previous.until > clock::now()) {
            // A dispatcher learns of a new secret a moment later.
            Some(previous) => verified.or_else(|_| self.verify_by(previous.secret, headers, body)),
            None => verified,
        }
    }

    fn verify_by(&self, sealed: String, headers: &HeaderMap, body: &[u8]) -> Result<(), Error> {
        let secret = self.sealing.open(&Sealed::try_from(sealed)?, self.owner())?;
        Ok(Webhook::new(secret.text().expose_secret())?.verify(body, headers)?)
    }
}

impl Outlet {
    fn tell(self, story: &Result<Story, Error>) {
        match (self, story) {
            (Self::Terminal, Ok(story)) => print(&format!("webhook  {story}  verified")),
            (Self::Terminal, Err(refusal)) => print(&format!("webhook  NOT TAKEN  {refusal}")),
            (Self::Log, Ok(story)) => {
                tracing::info!(event_type = %story.event_type(), what = story.what(), verified = true, "a webhook arrived");
            }
            (Self::Log, Err(refusal)) => {
                tracing::warn!(error = %chain(refusal), "what arrived is no webhook of ours");
            }
        }
    }
}

/// A line on standard output. Whoever reads it may have gone, which is no reason to stop receiving.
fn print(line: &str) {
    if let Err(error) = writeln!(io::stdout(), "{line}") {
        tracing::debug!(%error, "nobody reads what arrives");
    }
}
