//! What a credential may do.

use std::collections::BTreeSet;

/// What a credential may do. `operator` is of no tenant, and no other scope comes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    MetricsRead,
    InventoryRead,
    AlertsRead,
    AlertsWrite,
    RulesWrite,
    WebhooksWrite,
    KeysWrite,
    Operator,
}

impl Scope {
    const ALL: [(Self, &'static str); 8] = [
        (Self::MetricsRead, "metrics:read"),
        (Self::InventoryRead, "inventory:read"),
        (Self::AlertsRead, "alerts:read"),
        (Self::AlertsWrite, "alerts:write"),
        (Self::RulesWrite, "rules:write"),
        (Self::WebhooksWrite, "webhooks:write"),
        (Self::KeysWrite, "keys:write"),
        (Self::Operator, "operator"),
    ];

    /// Every scope a tenant's key can have.
    pub fn of_tenants() -> BTreeSet<Self> {
        Self::ALL.into_iter().map(|(scope, _)| scope).filter(|scope| *scope != Self::Operator).collect()
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (_, text) = Self::ALL.iter().find(|(scope, _)| scope == self).expect("the table holds every scope");
        f.write_str(text)
    }
}

/// The text is no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no scope; scopes: metrics:read inventory:read alerts:read alerts:write rules:write webhooks:write keys:write")]
pub struct UnknownScope(String);

impl std::str::FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        let found = Self::ALL.into_iter().find(|(_, name)| *name == text);
        found.map(|(scope, _)| scope).ok_or_else(|| UnknownScope(text.chars().take(40).collect()))
    }
}

/// Scopes from one text, separated by spaces. A scope of a newer version is none this binary could honour.
pub(super) fn read(text: &str) -> BTreeSet<Scope> {
    text.split(' ').filter_map(|scope| scope.parse().ok()).collect()
}

/// Scopes as one text.
pub(super) fn text(scopes: &BTreeSet<Scope>) -> String {
    scopes.iter().map(Scope::to_string).collect::<Vec<_>>().join(" ")
}
