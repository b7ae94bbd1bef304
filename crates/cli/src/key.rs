//! `tidemark key`.

use secrecy::ExposeSecret;
use serde_json::json;
use tidemark_runtime::process::Failure;
use tidemark_store::{Holder, NewKey, Scope, Tenant};

use crate::command::Key;
use crate::connection::Connection;
use crate::output::{self, say};

pub(crate) async fn run(command: Key) -> Result<(), Failure> {
    let Key::Create { tenant, scopes, name, expires_at, json, .. } = command;
    let (holder, scopes) = match tenant {
        None => (Holder::Operator, [Scope::Operator].into()),
        Some(_) if scopes.contains(&Scope::Operator) => {
            return Err(Failure::wrong_use("an operator's key is of no tenant: use --operator instead of --tenant"));
        }
        Some(tenant) => {
            let scopes = if scopes.is_empty() { Scope::of_tenants() } else { scopes.into_iter().collect() };
            (Holder::Tenant(Tenant::named_by_operator(tenant)), scopes)
        }
    };
    let new = NewKey { holder, scopes, name, expires_at };
    let connection = Connection::open().await?;
    let issued = connection.store.create_key(&new, tidemark_runtime::clock::now()).await?;
    let key = issued.key.expose_secret();
    if json {
        output::json(&json!({ "id": issued.id, "key": key }));
    } else {
        say!("{key}");
        eprintln!("key {} is shown this once; keep it as you keep a password", issued.id);
    }
    Ok(())
}
