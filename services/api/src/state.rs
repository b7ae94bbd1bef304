//! What every handler works with. Concrete, cheap to clone.

use std::sync::Arc;

use jiff::Timestamp;
use tidemark_domain::definition::{Source, TenantRule};
use tidemark_domain::running::RunningMetric;
use tidemark_domain::{MetricName, Running};
use tidemark_runtime::clock::{self, SkewWatch};
use tidemark_runtime::settings::SecretKeys;
use tidemark_store::{KeySigner, RunningDefinitions, Store, Tenant};
use tidemark_streams::Streams;
use tokio::time::Instant;

use crate::answers::Answers;
use crate::auth::oidc::Tokens;
use crate::freshness::Present;
use crate::limits::Limits;
use crate::own_rates::OwnRates;
use crate::problem::ApiError;
use crate::webhooks::Webhooks;
use crate::zones::Zones;

/// How often a change is retried after a concurrent change of the same item.
pub(crate) const CHANGE_ATTEMPTS_MAX: usize = 5;

/// The state of a running API.
#[derive(Debug, Clone)]
pub(crate) struct ApiState {
    pub store: Store,
    pub streams: Streams,
    pub keys: Arc<SecretKeys>,
    pub key_signer: Arc<KeySigner>,
    pub running: RunningDefinitions,
    pub webhooks: Webhooks,
    pub limits: Arc<Limits>,
    pub own_rates: OwnRates,
    pub answers: Answers,
    pub zones: Zones,
    pub skew_watch: Arc<SkewWatch>,
    /// `None`: API keys alone are accepted.
    pub tokens: Option<Tokens>,
}

impl ApiState {
    /// The present instant, by DynamoDB's clock as far as it is known; handlers read it once and pass it on.
    pub(crate) fn now(&self) -> Timestamp {
        self.streams.now_or(clock::now())
    }

    /// The present that a watermark is compared with, which was read before.
    pub(crate) fn present(&self) -> Present {
        let (own, mono, clock) = (clock::now(), Instant::now(), self.streams.clock());
        let skew = clock.skew(own, mono);
        self.skew_watch.note(skew);
        Present { now: own - skew, latest: clock.latest_at(mono).unwrap_or(own), skew }
    }

    /// The running definitions, as of at most a few seconds ago.
    pub(crate) fn running(&self) -> Arc<Running> {
        self.running.current()
    }
}

/// The metric of this name.
///
/// # Errors
/// 404 also for a metric whose source is another tenant's alone: what other tenants have is nobody's business.
pub(crate) fn metric_of<'a>(
    running: &'a Running,
    name: &str,
    tenant: &Tenant,
) -> Result<(MetricName, &'a RunningMetric), ApiError> {
    let name = MetricName::new(name).map_err(|_| ApiError::NotFound)?;
    let metric = running.metrics.get(&name).filter(|metric| {
        let source = running.sources.get(&metric.definition.source);
        source.is_some_and(|source| may_hold(source, tenant))
    });
    metric.map(|metric| (name, metric)).ok_or(ApiError::NotFound)
}

/// Whether a source can hold records of a tenant.
pub(crate) fn may_hold(source: &Source, tenant: &Tenant) -> bool {
    match &source.tenant {
        TenantRule::Constant(only) => only == tenant.id(),
        TenantRule::Attribute { .. } => true,
    }
}
