//! `tidemark tenant`.

use serde_json::json;
use tidemark_runtime::process::Failure;
use tidemark_store::{NewTenant, TenantCreated};

use crate::command::Tenant;
use crate::connection::Connection;
use crate::output::{self, say};

pub(crate) async fn run(command: Tenant) -> Result<(), Failure> {
    let Tenant::Create { id, name, time_zone, currency, json } = command;
    let connection = Connection::open().await?;
    let new = NewTenant { id, name, zone: time_zone, currency };
    let created = connection.store.create_tenant(&new, tidemark_runtime::clock::now()).await?;
    let id = &new.id;
    match created {
        TenantCreated::New | TenantCreated::Same if json => output::json(&json!({ "id": id })),
        TenantCreated::New => say!("tenant {id}: created"),
        TenantCreated::Same => say!("tenant {id}: is there already"),
        TenantCreated::Different => {
            return Err(Failure::failed(format!("tenant {id} is there already with other settings, which stand")));
        }
        TenantCreated::ZoneFrozen(zone) => {
            return Err(Failure::failed(format!("tenant {id} is counted in {zone} already: another time zone needs a rebuild")));
        }
    }
    Ok(())
}
