//! One delivery: an exchange with its endpoint, and what is noted of it.
//!
//! A crash anywhere in here heals by itself. What is claimed comes due again at the claim's end, and is then sent again with the same
//! id and body: delivery is at least once. The claim counts the attempt, so no request is sent that is not counted. The result of an
//! exchange is one transaction (delivery, attempt, endpoint) on condition that the claim stands, so no result is recorded twice and
//! none moves a delivery that another dispatcher has claimed by now. Where nothing was sent, or a fault of ours kept it from the
//! endpoint, the number is given back under the same condition.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use tidemark_domain::{EventId, TenantId};
use tidemark_runtime::clock;
use tidemark_runtime::process::chain;
use tidemark_runtime::telemetry::trace;
use tidemark_store::{
    ATTEMPTS_MAX, Attempt, Claimed, Delivery, Due, Endpoint, EndpointEffect, Event, EventKey, Finish, Next, Trigger,
};
use tidemark_webhooks::headers::CustomHeaders;
use tidemark_webhooks::schedule;
use tidemark_webhooks::seal::{Owner, Sealed, SealingKeys};
use tidemark_webhooks::secret::Secret;
use tidemark_webhooks::send::{self, Outcome, Request};
use tidemark_webhooks::sign::Secrets;
use tracing::field::Empty;
use tracing::{Instrument, Span};
use url::Url;

use super::health::Judged;
use super::room::Permit;
use super::{Dispatch, Error};

/// What cannot be sent through a fault of our own waits for this share of its age: a short outage delays it little, and one that
/// nobody mends costs few tries…
const OURS_SHARE: u32 = 4;
/// …within these bounds.
const OURS_MIN: Duration = Duration::from_secs(5);
const OURS_MAX: Duration = Duration::from_secs(30 * 60);

/// What is tried again within so long stays in its endpoint's queue, as what is claimed does; it would hardly have left it.
const SOON: Duration = Duration::from_secs(30);

/// Why a delivery cannot even be tried. Each is ours to mend: a setting, or what is stored.
#[derive(Debug, thiserror::Error)]
enum Unsendable {
    #[error(transparent)]
    Seal(#[from] tidemark_webhooks::seal::Error),
    #[error(transparent)]
    Headers(#[from] tidemark_webhooks::headers::Error),
}

/// What an attempt is made of.
struct Prepared {
    request: Request,
    event: EventId,
    traceparent: Option<String>,
    /// When the alert changed, for events of alerts.
    changed_at: Option<Timestamp>,
    begun: Timestamp,
}

/// Whether our own side works, to say so once.
#[derive(Debug, Default)]
pub(super) struct OurSide {
    is_down: AtomicBool,
}

impl Dispatch {
    /// Claims a due delivery, makes one attempt, and notes what came of it.
    pub(super) async fn deliver(&self, due: &Due, permit: &Permit) -> Result<(), Error> {
        let Some(delivery) = self.store.claim_delivery(due, self.claim_end()).await? else { return Ok(()) };
        if delivery.value.is_spent() {
            return self.settle_untried(&delivery, Next::Exhausted).await;
        }
        let prepared = match self.prepared(&delivery).await {
            Ok(Some(prepared)) => prepared,
            Ok(None) => return Ok(()),
            Err(error) => {
                // Nothing was sent. Where this cannot be written either, the number stays taken; the claim lapses in any case.
                let given_back = self.store.settle_delivery(&delivery, Next::Again { at: delivery.until() }).await;
                tracing::debug!(?given_back, "the number of an attempt that was not made");
                return Err(error);
            }
        };
        let span = span(&prepared.request, &prepared.event, prepared.traceparent.as_deref());
        let sent = self.sender.send(&prepared.request).instrument(span.clone()).await;
        tell(&span, &sent);
        permit.went(&sent);
        self.instruments.attempted(&sent, delivery.value.trigger);
        // What is sent again on request is no news.
        if let (Outcome::Delivered, Trigger::Scheduled, Some(at)) = (sent.outcome, delivery.value.trigger, prepared.changed_at) {
            // Another machine's clock timed the change, and may be ahead.
            let since_change = clock::now().duration_since(at).max(SignedDuration::ZERO).unsigned_abs();
            self.instruments.alert_told(&delivery.value.event_type, since_change);
        }
        self.our_side.saw(&sent);
        if sent.outcome.is_ours() {
            return self.put_off_ours(&delivery).await;
        }
        self.note(&delivery, &sent, prepared.begun).await
    }

    /// Reads what a claimed delivery is made of; `None`: there is nothing to send, and the claim is ended.
    async fn prepared(&self, delivery: &Claimed<Delivery>) -> Result<Option<Prepared>, Error> {
        let endpoint = match self.endpoints.get(&delivery.tenant, &delivery.value.id.endpoint).await? {
            Some(endpoint) if endpoint.is_enabled() => endpoint,
            Some(_) => return self.settle_untried(delivery, Next::Held).await.map(|()| None),
            None => return self.settle_untried(delivery, Next::Cancelled).await.map(|()| None),
        };
        // Events outlive their deliveries by far.
        let Some(event) = self.store.event(&delivery.tenant, &delivery.value.event).await? else {
            return self.settle_untried(delivery, Next::Cancelled).await.map(|()| None);
        };
        let changed_at = matches!(event.key, EventKey::Alert { .. }).then_some(event.at);
        let begun = clock::now();
        let (id, traceparent) = (event.id.clone(), event.traceparent.clone());
        match request(&self.keys, delivery, &endpoint, event, begun) {
            Ok(request) => Ok(Some(Prepared { request, event: id, traceparent, changed_at, begun })),
            Err(error) => {
                let (tenant, endpoint) = (delivery.tenant.id(), &endpoint.id);
                tracing::error!(%tenant, %endpoint, error = %chain(&error), "a delivery cannot be made");
                self.put_off_ours(delivery).await.map(|()| None)
            }
        }
    }

    /// Writes what an attempt came to.
    async fn note(&self, delivery: &Claimed<Delivery>, sent: &send::Attempt, begun: Timestamp) -> Result<(), Error> {
        let id = &delivery.value.id.endpoint;
        let _turn = self.endpoints.turn(id).lock().await;
        let endpoint = match sent.outcome {
            // A success changes the notes about an endpoint that does not work only: no need to read those of every one.
            Outcome::Delivered => self.endpoints.get(&delivery.tenant, id).await?.as_deref().cloned(),
            _ => self.store.endpoint(&delivery.tenant, id).await?,
        };
        let now = clock::now();
        let judged = Judged::of(&delivery.tenant, endpoint.as_ref(), sent, now)?;
        let next = self.next(&delivery.value, sent, &judged.effect, endpoint.as_ref());
        let finish = Finish { attempt: attempt(&delivery.value, sent, begun), next, effect: judged.effect.clone() };
        if !self.store.finish_delivery(delivery, &finish).await? {
            return Ok(());
        }
        self.instruments.settled(next);
        if finish.effect != EndpointEffect::default() {
            self.endpoints.forget(&delivery.tenant, id);
            self.tell(&delivery.tenant, id, judged);
        }
        Ok(())
    }

    /// How a delivery goes on. Its claim has counted this attempt in `attempts` and, until the end, in `round_began`.
    fn next(&self, delivery: &Delivery, sent: &send::Attempt, effect: &EndpointEffect, endpoint: Option<&Endpoint>) -> Next {
        if sent.outcome == Outcome::Delivered {
            return Next::Delivered;
        }
        let Some(endpoint) = endpoint else { return Next::Cancelled };
        if !endpoint.is_enabled() || effect.disabled.is_some() {
            return Next::Held;
        }
        let made = delivery.attempts.saturating_sub(delivery.round_began) + 1;
        let wait = schedule::wait(made + 1, fastrand::f64(), sent.retry_after);
        match wait.filter(|_| delivery.attempts < ATTEMPTS_MAX) {
            Some(wait) => self.again_after(wait),
            None => Next::Exhausted,
        }
    }

    fn again_after(&self, wait: Duration) -> Next {
        let wait = self.pace.scaled(wait);
        let at = clock::now() + wait;
        if wait <= self.pace.scaled(SOON).max(self.pace.waiting_look()) { Next::Again { at } } else { Next::Later { at } }
    }

    /// Ends a delivery that nothing was sent for, or puts it off.
    async fn settle_untried(&self, delivery: &Claimed<Delivery>, next: Next) -> Result<(), Error> {
        if self.store.settle_delivery(delivery, next).await? {
            self.instruments.settled(next);
        }
        Ok(())
    }

    /// Tries a delivery later, uncounted: its endpoint had no part in it.
    async fn put_off_ours(&self, delivery: &Claimed<Delivery>) -> Result<(), Error> {
        let age = clock::now().duration_since(delivery.value.created_at).unsigned_abs();
        let wait = (age / OURS_SHARE).clamp(OURS_MIN, OURS_MAX).mul_f64(0.8 + 0.4 * fastrand::f64());
        self.instruments.put_off();
        self.settle_untried(delivery, self.again_after(wait)).await
    }
}

impl OurSide {
    fn saw(&self, sent: &send::Attempt) {
        let is_down = sent.outcome.is_ours();
        if self.is_down.swap(is_down, Ordering::Relaxed) != is_down {
            if is_down {
                tracing::error!(outcome = %sent.outcome, "webhooks cannot be sent, by a fault of our own network or machine");
            } else {
                tracing::info!("webhooks can be sent again");
            }
        }
    }
}

/// The span of an attempt. It is a trace of its own, linked to the commit that wrote the event: an attempt may come days later, and a
/// commit has many. The endpoint hears nothing of either.
fn span(request: &Request, event: &EventId, traceparent: Option<&str>) -> Span {
    let span = tracing::info_span!(
        "webhook attempt",
        otel.kind = "client",
        otel.status_code = Empty,
        error.type = Empty,
        server.address = Url::parse(&request.url).ok().and_then(|url| url.host_str().map(str::to_owned)),
        http.request.method = "POST",
        http.response.status_code = Empty,
        tidemark.webhook.id = event.as_str(),
        tidemark.webhook.attempt = request.attempt,
    );
    if let Some(traceparent) = traceparent {
        trace::link(&span, traceparent);
    }
    span
}

/// Notes in its span how an attempt went.
fn tell(span: &Span, sent: &send::Attempt) {
    span.record("http.response.status_code", sent.status);
    if sent.outcome != Outcome::Delivered {
        span.record("otel.status_code", "ERROR");
        span.record("error.type", sent.outcome.as_str());
    }
}

fn request(
    keys: &SealingKeys,
    delivery: &Claimed<Delivery>,
    endpoint: &Endpoint,
    event: Event,
    now: Timestamp,
) -> Result<Request, Unsendable> {
    let open = |sealed: &str| open(keys, delivery.tenant.id(), endpoint, sealed);
    let previous = endpoint.previous_secret.as_ref().filter(|previous| now < previous.until);
    // It only signs along: where it is lost, what is lost is its signature.
    let previous = previous.and_then(|previous| {
        let opened = open(&previous.secret);
        opened.inspect_err(|error| tracing::warn!(endpoint = %endpoint.id, %error, "webhooks go without the secret before")).ok()
    });
    let secrets = Secrets { current: open(&endpoint.secret)?, previous };
    let headers: BTreeMap<String, String> = endpoint.headers.clone();
    Ok(Request {
        url: endpoint.url.clone(),
        message: secrets.sign(event.id, now, Bytes::from(event.body)),
        headers: CustomHeaders::new(headers)?,
        attempt: delivery.value.attempts,
        trigger: match delivery.value.trigger {
            Trigger::Scheduled => send::Trigger::Scheduled,
            Trigger::Manual => send::Trigger::Manual,
            Trigger::Recover => send::Trigger::Recover,
        },
    })
}

fn open(
    keys: &SealingKeys,
    tenant: &TenantId,
    endpoint: &Endpoint,
    sealed: &str,
) -> Result<Secret, tidemark_webhooks::seal::Error> {
    let sealed = Sealed::try_from(sealed.to_owned())?;
    keys.open(&sealed, Owner { tenant, endpoint: &endpoint.id })
}

fn attempt(delivery: &Delivery, sent: &send::Attempt, begun: Timestamp) -> Attempt {
    Attempt {
        number: delivery.attempts,
        at: begun,
        trigger: delivery.trigger,
        outcome: sent.outcome.as_str().to_owned(),
        status: sent.status,
        elapsed_ms: u64::try_from(sent.elapsed.as_millis()).unwrap_or(u64::MAX),
        snippet: Some(sent.snippet.clone()).filter(|snippet| !snippet.is_empty()),
        peer: sent.peer.map(|peer| peer.to_string()),
    }
}
