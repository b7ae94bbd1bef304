//! Inventories as a request means them: which one, how fresh it is, and how its levels are met with a filter.

mod walk;

use tidemark_domain::definition::{Inventory, Source};
use tidemark_domain::{InventoryName, Running};
use tidemark_store::Tenant;

use crate::freshness::{Freshness, Reading};
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
pub(crate) async fn freshness(state: &ApiState, running: &Running, inventory: &InventoryName) -> Result<Freshness, ApiError> {
    let source = running.inventories.get(inventory).and_then(|inventory| source_of(running, inventory));
    let source = source.ok_or(ApiError::NotFound)?;
    Ok(Freshness::of(&sources::reading(&state.streams, source).await?, state.now()))
}

/// How fresh all inventories of a tenant are together: as the least fresh of them.
///
/// # Errors
/// When the control table cannot be read.
pub(crate) async fn freshness_of_all(state: &ApiState, running: &Running, tenant: &Tenant) -> Result<Freshness, ApiError> {
    let inventories = of_tenant(running, tenant);
    let mut sources: Vec<&Source> = inventories.iter().filter_map(|(_, inventory)| source_of(running, inventory)).collect();
    // Several inventories may be of one source.
    sources.sort_by(|a, b| a.table.cmp(&b.table));
    sources.dedup_by(|a, b| a.table == b.table);
    let readings = sources.into_iter().map(|source| sources::reading(&state.streams, source));
    let readings = futures::future::try_join_all(readings).await?;
    let together = readings.into_iter().reduce(Reading::together).unwrap_or_else(|| sources::reading_of(None));
    Ok(Freshness::of(&together, state.now()))
}

fn source_of<'a>(running: &'a Running, inventory: &Inventory) -> Option<&'a Source> {
    running.sources.get(&inventory.source)
}
