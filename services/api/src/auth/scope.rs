//! The scopes a route can ask for, as types.

use tidemark_store::Scope;

/// One scope.
pub(crate) trait Required: Send + Sync {
    const SCOPE: Scope;
}

macro_rules! scope {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub(crate) struct $name;

        impl Required for $name {
            const SCOPE: Scope = Scope::$name;
        }
    };
}

scope!(
    /// Reading metrics, their freshness, and what could not be counted.
    MetricsRead
);
scope!(
    /// Reading what is in stock.
    InventoryRead
);
scope!(
    /// Reading alerts and the rules behind them.
    AlertsRead
);
scope!(
    /// Acknowledging, resolving and muting alerts.
    AlertsWrite
);
scope!(
    /// Making, changing and deleting alert rules.
    RulesWrite
);
scope!(
    /// Everything about webhook endpoints and their deliveries, reading included.
    WebhooksWrite
);
scope!(
    /// Keys, listing them included, and the tenant's own settings.
    KeysWrite
);
