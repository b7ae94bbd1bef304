//! Which tenants the quarantined records of a source are of, so that operators need not ask for each tenant there is.
//!
//! A tenant is listed before the commit that first sets aside a record of its, outside the transaction: what every such commit of a
//! source would write to is then not one item. A tenant that is listed without records does no harm, for its own counters say so; a
//! record of a tenant that is not listed would go unseen.

use futures::{StreamExt, TryStreamExt};
use tidemark_domain::{SourceName, TenantId};

use super::QuarantineCount;
use crate::Store;
use crate::error::Error;
use crate::item::{Item, Stored, key_item};
use crate::key::{self, Key, SK};
use crate::read::{Order, Stretch};

/// Writes of tenants, or reads of their counters, that are under way at once.
const AT_ONCE: usize = 16;

/// A tenant that quarantined records of a source may be of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Concerned {
    pub source: SourceName,
    pub tenant: TenantId,
}

/// Some of the tenants that quarantined records of a source are of, in the order of their ids.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConcernedPage {
    /// Each with how much was ever quarantined for it, which is something.
    pub tenants: Vec<(TenantId, QuarantineCount)>,
    pub more: bool,
}

impl Store {
    /// Lists tenants as concerned, ahead of the commit that sets aside records of theirs. Once more does no harm.
    ///
    /// # Errors
    /// When DynamoDB does not take them; the call can be made again.
    pub async fn list_concerned(&self, concerned: &[Concerned]) -> Result<(), Error> {
        let puts: Vec<_> = concerned.iter().map(|concerned| self.list_one(concerned)).collect();
        futures::stream::iter(puts).buffer_unordered(AT_ONCE).try_collect().await
    }

    async fn list_one(&self, concerned: &Concerned) -> Result<(), Error> {
        let key = Key { pk: key::quarantine_tenants(&concerned.source), sk: concerned.tenant.as_str().to_owned() };
        let put = self.client.put_item().table_name(&self.tables.data).set_item(Some(key_item(&key)));
        put.send().await.map(drop).map_err(|error| Error::from_sdk(&self.tables.data, error))
    }

    /// The first tenants that quarantined records of a source are of. One Query for the tenants, and one for the counters of each.
    ///
    /// # Errors
    /// When the items cannot be read.
    pub async fn concerned(&self, source: &SourceName, limit: usize) -> Result<ConcernedPage, Error> {
        let pk = key::quarantine_tenants(source);
        let (mut tenants, mut after): (Vec<_>, Option<TenantId>) = (Vec::new(), None);
        // Those without records leave room for others. One more than is wanted tells whether there are more.
        loop {
            let limit_left = limit + 1 - tenants.len();
            let after_key = after.as_ref().map(TenantId::as_str);
            let wanted = Stretch { pk: &pk, prefix: "", after: after_key, order: Order::Rising, limit: limit_left };
            let found = self.stretch(&wanted).await?;
            let listed: Vec<TenantId> = found.items.iter().map(tenant).collect::<Result<_, _>>()?;
            let counts: Vec<_> = listed.iter().map(|tenant| self.quarantine_count(tenant, source)).collect();
            let counts: Vec<QuarantineCount> = futures::stream::iter(counts).buffered(AT_ONCE).try_collect().await?;
            after = listed.last().cloned();
            tenants.extend(listed.into_iter().zip(counts).filter(|(_, count)| count.records > 0));
            let more = tenants.len() > limit;
            if more || !found.more {
                tenants.truncate(limit);
                return Ok(ConcernedPage { tenants, more });
            }
        }
    }
}

fn tenant(item: &Item) -> Result<TenantId, Error> {
    Stored(item).parsed(SK)
}
