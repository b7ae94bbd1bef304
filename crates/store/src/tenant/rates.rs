//! The rates that operators set for a tenant: attributes of its settings that a tenant cannot change itself.

use super::Tenant;
use crate::Store;
use crate::error::Error;
use crate::item::Stored;
use crate::key;

/// Highest number of requests in a second, and in a burst. The lowest is 1.
pub const RATE_MAX: u32 = 1_000_000;

const KEY_RPS: &str = "key_rps";
const KEY_BURST: &str = "key_burst";
const TENANT_RPS: &str = "tenant_rps";
const TENANT_BURST: &str = "tenant_burst";

/// Request rates of a tenant, as operators set them. `None`: the deployment's. Each number is from 1 to [`RATE_MAX`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TenantRates {
    /// Requests of one key in a second.
    pub key_rps: Option<u32>,
    /// Requests of one key at once, after a pause.
    pub key_burst: Option<u32>,
    /// Requests of all keys together in a second.
    pub tenant_rps: Option<u32>,
    /// Requests of all keys together at once, after a pause.
    pub tenant_burst: Option<u32>,
}

impl TenantRates {
    /// Each by its name, which is also that of its attribute.
    pub fn named(self) -> [(&'static str, Option<u32>); 4] {
        let Self { key_rps, key_burst, tenant_rps, tenant_burst } = self;
        [(KEY_RPS, key_rps), (KEY_BURST, key_burst), (TENANT_RPS, tenant_rps), (TENANT_BURST, tenant_burst)]
    }

    /// Settings that were stored before there were rates have none.
    pub(super) fn read(settings: &Stored<'_>) -> Result<Self, Error> {
        let number = |name: &str| match settings.number::<u32>(name)? {
            Some(number) if !(1..=RATE_MAX).contains(&number) => {
                Err(settings.corrupt(name, &format!("`{number}` is out of range")))
            }
            number => Ok(number),
        };
        Ok(Self {
            key_rps: number(KEY_RPS)?,
            key_burst: number(KEY_BURST)?,
            tenant_rps: number(TENANT_RPS)?,
            tenant_burst: number(TENANT_BURST)?,
        })
    }
}

impl Store {
    /// The rates of a tenant alone, by one read.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn tenant_rates(&self, tenant: &Tenant) -> Result<TenantRates, Error> {
        let settings = self.get(&key::tenant_settings(tenant.id())).await?.unwrap_or_default();
        TenantRates::read(&Stored(&settings))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::item::{Item, n};

    fn rates() -> impl Strategy<Value = TenantRates> {
        let number = || prop::option::of(1..=RATE_MAX);
        (number(), number(), number(), number()).prop_map(|(key_rps, key_burst, tenant_rps, tenant_burst)| TenantRates {
            key_rps,
            key_burst,
            tenant_rps,
            tenant_burst,
        })
    }

    proptest! {
        #[test]
        fn what_is_stored_is_what_is_read(rates in rates()) {
            let attributes = rates.named().into_iter().filter_map(|(name, number)| Some((name.to_owned(), n(number?))));
            let item: Item = attributes.collect();
            prop_assert_eq!(TenantRates::read(&Stored(&item)).expect("readable"), rates);
        }
    }

    #[test]
    fn a_rate_out_of_range_is_corrupt() {
        for number in ["0", "1000001", "-1", "4294967296"] {
            let item = Item::from([("key_burst".to_owned(), n(number))]);
            let read = TenantRates::read(&Stored(&item));
            assert!(
                matches!(&read, Err(Error::Corrupt { problem, .. }) if problem.contains("out of range")),
                "{number}: {read:?}"
            );
        }
    }
}
