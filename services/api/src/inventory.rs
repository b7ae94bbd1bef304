//! Inventories as a request means them: which one, how fresh it is, and how its levels are met with a filter.

mod walk;

use std::collections::BTreeSet;

use futures::TryFutureExt;
use futures::future::try_join_all;
use tidemark_domain::definition::{Inventory, Source};
use tidemark_domain::{InventoryName, Running, SourceName};
use tidemark_store::{QuarantineCount, Tenant};

use crate::freshness::{Freshness, Reading, Reason};
use crate::params::Params;
use crate::problem::{ApiError, Code, ParameterError};
use crate::sources;
use crate::state::{ApiState, may_hold};

pub(crate) use walk::{Order, Walk, Walked, Wanted};

/// The inventories that can have levels of a tenant.
pub(crate) fn of_tenant<'a>(running: &'a Running, tenant: &Tenant) -> Vec<(&'a InventoryName, &'a Inventory)> {
    let visible = |inventory: &Inventory| source_of(running, inventory).is_some_and(|source| may_hold(source, tenant));
    running.inventories.iter().filter(|(_, inventory)| visible(inventory)).collect()
}

/// The inventory of this name, or the only one there is.
///
/// # Errors
/// An error of the parameter or field `at` that names those there are.
pub(crate) fn named(running: &Running, tenant: &Tenant, at: &str, name: Option<&str>) -> Result<InventoryName, ParameterError> {
    let there_are = of_tenant(running, tenant);
    let names = || there_are.iter().map(|(name, _)| name.as_str());
    let refused = |why: &str| {
        let names: Vec<&str> = names().collect();
        let detail = if names.is_empty() { "there is no inventory".to_owned() } else { format!("{why}: {}", names.join(", ")) };
        ParameterError::new(at, Code::UnknownInventory, detail).allowing(names)
    };
    match (name, there_are.as_slice()) {
        (None, [(only, _)]) => Ok((*only).clone()),
        (None, _) => Err(refused("is required, for there are several inventories")),
        (Some(name), _) => {
            let found = there_are.iter().find(|(there, _)| there.as_str() == name);
            found.map(|(name, _)| (*name).clone()).ok_or_else(|| refused("unknown inventory; allowed"))
        }
    }
}

/// Takes `inventory` and finds what it means; its error stays with the parameters.
pub(crate) fn take(params: &mut Params, running: &Running, tenant: &Tenant) -> Option<InventoryName> {
    let name = params.take("inventory");
    params.keep(named(running, tenant, "inventory", name.as_deref()))
}

/// How fresh an inventory is; to be asked before its levels are read.
///
/// # Errors
/// When the control table cannot be read.
pub(crate) async fn freshness(
    state: &ApiState,
    running: &Running,
    tenant: &Tenant,
    inventory: &InventoryName,
) -> Result<Freshness, ApiError> {
    let inventory = running.inventories.get(inventory).ok_or(ApiError::NotFound)?;
    together(state, running, tenant, &[inventory]).await
}

/// How fresh all inventories of a tenant are together: as the least fresh of them.
///
/// # Errors
/// When the control table cannot be read.
pub(crate) async fn freshness_of_all(state: &ApiState, running: &Running, tenant: &Tenant) -> Result<Freshness, ApiError> {
    let inventories: Vec<&Inventory> = of_tenant(running, tenant).into_iter().map(|(_, inventory)| inventory).collect();
    together(state, running, tenant, &inventories).await
}

async fn together(
    state: &ApiState,
    running: &Running,
    tenant: &Tenant,
    inventories: &[&Inventory],
) -> Result<Freshness, ApiError> {
    // Several inventories may be of one source.
    let names: BTreeSet<&SourceName> = inventories.iter().map(|inventory| &inventory.source).collect();
    let sources = names.iter().filter_map(|name| running.sources.get(*name));
    let readings = try_join_all(sources.map(|source| sources::reading(&state.streams, source)));
    let quarantined = state.store.quarantine_counts(tenant).map_err(ApiError::of_store);
    let (readings, quarantined) = futures::try_join!(readings, quarantined)?;
    let present = state.present();
    let readings = readings.into_iter().map(|reading| reading.at(present));
    let reading = readings.reduce(Reading::together).unwrap_or_else(|| sources::reading_of(None));
    let are_missed = names.iter().filter_map(|name| quarantined.get(*name)).any(QuarantineCount::are_levels_missed);
    Ok(Freshness::of(&reading, present).because(Reason::BrokenRow, are_missed))
}

fn source_of<'a>(running: &'a Running, inventory: &Inventory) -> Option<&'a Source> {
    running.sources.get(&inventory.source)
}
