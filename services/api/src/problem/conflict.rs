//! Requests that are in order, but not for things as they stand.

use jiff::Timestamp;
use tidemark_domain::RuleId;

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
        }
    }

    /// The id of what is in the way.
    pub(super) fn existing(&self) -> Option<String> {
        match self {
            Self::RuleExists(rule) => Some(rule.to_string()),
            _ => None,
        }
    }
}
