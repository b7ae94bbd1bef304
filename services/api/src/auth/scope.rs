//! The scopes a route can ask for, as types; each says whether its routes write.
//!
//! A route that writes counts for the writes of its tenant (`limits.rs`). That is decided here, by the scope, so that a new route
//! need not remember it.

use axum::http::Method;
use tidemark_store::Scope;

use crate::limits::Effect;

/// One scope.
pub(crate) trait Required: Send + Sync {
    const SCOPE: Scope;
    /// What requests with an unsafe method (RFC 9110 §9.2.1) do. One with a safe method only reads, whatever its scope.
    const EFFECT: Effect;

    /// What a request with this method does.
    fn effect_of(method: &Method) -> Effect {
        if method.is_safe() { Effect::Read } else { Self::EFFECT }
    }
}

macro_rules! scope {
    ($(#[$doc:meta])* $name:ident: $scope:ident, $effect:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub(crate) struct $name;

        impl Required for $name {
            const SCOPE: Scope = Scope::$scope;
            const EFFECT: Effect = Effect::$effect;
        }
    };
}

scope!(
    /// Reading metrics, their freshness, and what could not be counted.
    MetricsRead: MetricsRead, Read
);
scope!(
    /// Reading what is in stock.
    InventoryRead: InventoryRead, Read
);
scope!(
    /// Reading alerts and the rules behind them.
    AlertsRead: AlertsRead, Read
);
scope!(
    /// Acknowledging, resolving and muting alerts.
    AlertsWrite: AlertsWrite, Write
);
scope!(
    /// Making, changing and deleting alert rules.
    RulesWrite: RulesWrite, Write
);
scope!(
    /// Everything about webhook endpoints and their deliveries, reading included.
    WebhooksWrite: WebhooksWrite, Write
);
scope!(
    /// Testing a webhook endpoint, which stores nothing: tests have a limit of their own ([`crate::limits::Limits::admit_test`]).
    WebhooksTest: WebhooksWrite, Read
);
scope!(
    /// Keys, listing them included, and the tenant's own settings.
    KeysWrite: KeysWrite, Write
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_scope_lets_change_counts_as_a_write_and_reading_never_does() {
        fn effects<S: Required>() -> [Effect; 5] {
            [Method::GET, Method::HEAD, Method::POST, Method::PATCH, Method::DELETE].map(|method| S::effect_of(&method))
        }
        let (reads, writes) = ([Effect::Read; 5], [Effect::Read, Effect::Read, Effect::Write, Effect::Write, Effect::Write]);
        for effects in [effects::<AlertsWrite>(), effects::<RulesWrite>(), effects::<WebhooksWrite>(), effects::<KeysWrite>()] {
            assert_eq!(effects, writes);
        }
        for effects in [effects::<MetricsRead>(), effects::<InventoryRead>(), effects::<AlertsRead>(), effects::<WebhooksTest>()]
        {
            assert_eq!(effects, reads, "previews and tests are POSTs that store nothing");
        }
    }
}
