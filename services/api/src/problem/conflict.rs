//! Requests that are in order, but not for things as they stand.

use std::time::Duration;

use jiff::Timestamp;
use tidemark_domain::bucket::QUARTER_RETENTION_DAYS;
use tidemark_domain::{RuleId, TenantId, Zone};

use crate::limits::seconds;

/// What stands against a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Conflict {
    #[error("the rule {0} has this scope already; change or delete that one")]
    RuleExists(RuleId),
    #[error("the alert is already resolved")]
    AlertResolved,
    #[error("two secrets are live already, the previous one until {0}; with `force` it ends now")]
    SecretsLive(Timestamp),
    #[error("the endpoint is disabled, and what is due is held; enable it first")]
    EndpointDisabled,
    #[error("the endpoint is deleted")]
    EndpointDeleted,
    #[error("the delivery has been attempted as often as any can be")]
    AttemptsSpent,
    /// Until the attempt's claim ends, at most.
    #[error("an attempt of the delivery is under way; wait for its result, for as long as Retry-After says at most")]
    DeliveryUnderWay(Duration),
    /// Until the pause between attempts is over.
    #[error("the last attempt of the delivery began a moment ago; wait as Retry-After says")]
    RetriedTooSoon(Duration),
    #[error("a request with this Idempotency-Key is being answered; ask again for its answer")]
    InFlight,
    #[error(
        "records are counted by days of {0} already, and the time zone cannot be changed any more: days of another zone can be asked for \
         with the parameter `time_zone`, as far back as 15-minute rows are kept ({QUARTER_RETENTION_DAYS} days); to have day rows of \
         another zone, create a tenant of another id and let the records name it"
    )]
    TimeZoneFrozen(Zone),
    #[error("the tenant {0} exists already; use PATCH to change its settings")]
    TenantExists(TenantId),
    #[error("the tenant is being deleted; finish that, and create it anew")]
    TenantLeaving,
    #[error("the tenant has records that are counted, alert rules or webhook endpoints; only one without any can be deleted")]
    TenantHasData,
}

impl Conflict {
    /// The problem's `code`.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::RuleExists(_) => "rule_exists",
            Self::AlertResolved => "alert_resolved",
            Self::SecretsLive(_) => "secrets_live",
            Self::EndpointDisabled => "endpoint_disabled",
            Self::EndpointDeleted => "endpoint_deleted",
            Self::AttemptsSpent => "attempts_spent",
            Self::DeliveryUnderWay(_) => "delivery_under_way",
            Self::RetriedTooSoon(_) => "retried_too_soon",
            Self::InFlight => "in_flight",
            Self::TimeZoneFrozen(_) => "time_zone_frozen",
            Self::TenantExists(_) => "tenant_exists",
            Self::TenantLeaving => "tenant_leaving",
            Self::TenantHasData => "tenant_has_data",
        }
    }

    /// After how many seconds the same request may be answered, where that is a matter of time.
    pub(super) fn retry_after(&self) -> Option<u64> {
        match self {
            Self::InFlight => Some(super::RETRY_AFTER_SECONDS),
            // A client that comes a moment early would be refused again.
            Self::DeliveryUnderWay(wait) | Self::RetriedTooSoon(wait) => Some(seconds(*wait).max(1)),
            _ => None,
        }
    }

    /// The id of what is in the way.
    pub(super) fn existing(&self) -> Option<String> {
        match self {
            Self::RuleExists(rule) => Some(rule.to_string()),
            Self::TenantExists(tenant) => Some(tenant.to_string()),
            _ => None,
        }
    }
}
