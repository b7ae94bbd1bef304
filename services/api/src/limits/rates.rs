//! How often keys and tenants may ask: the deployment's rates, and those that operators set for one tenant.

use tidemark_store::TenantRates;

use super::bucket::{Part, Rate};

/// The writes of all keys of a tenant, as a part of what one key may ask: with the default rates 10 a second, 100 in a burst.
const WRITE_PART: Part = Part { per_second: 10, burst: 2 };

/// The rates of one tenant, or of all that have none of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// What one key may ask.
    pub key: Rate,
    /// What all keys of a tenant may ask together.
    pub tenant: Rate,
}

impl Rates {
    /// Those of a deployment that sets none. API.md §1.
    pub const DEFAULT: Self = Self { key: Rate { per_second: 100, burst: 200 }, tenant: Rate { per_second: 400, burst: 800 } };

    /// These, with what operators set for a tenant in their place.
    pub(crate) fn with(self, own: TenantRates) -> Self {
        let rate = |rate: Rate, per_second: Option<u32>, burst: Option<u32>| Rate {
            per_second: per_second.unwrap_or(rate.per_second),
            burst: burst.unwrap_or(rate.burst),
        };
        Self { key: rate(self.key, own.key_rps, own.key_burst), tenant: rate(self.tenant, own.tenant_rps, own.tenant_burst) }
    }

    /// What all keys of a tenant may write together.
    pub(super) fn write(self) -> Rate {
        self.key.divided(WRITE_PART)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_operators_set_holds_and_the_others_are_the_deployments() {
        let own = TenantRates { key_rps: Some(5), tenant_burst: Some(7), ..TenantRates::default() };
        let rates = Rates::DEFAULT.with(own);
        assert_eq!(rates.key, Rate { per_second: 5, burst: 200 });
        assert_eq!(rates.tenant, Rate { per_second: 400, burst: 7 });
        assert_eq!(rates.write(), Rate { per_second: 1, burst: 100 }, "writes follow the key's rate");
        assert_eq!(Rates::DEFAULT.with(TenantRates::default()), Rates::DEFAULT);
    }
}
