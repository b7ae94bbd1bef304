//! `tidemark key`.

use secrecy::ExposeSecret;
use serde_json::json;
use tidemark_runtime::clock;
use tidemark_runtime::process::Failure;
use tidemark_runtime::settings::{Reader, SecretKeys, Vars};
use tidemark_store::{Holder, KeySigner, NewKey, Scope, Tenant};

use crate::command::Key;
use crate::connection::Connection;
use crate::output;

/// A key was made that nobody has seen.
#[derive(Debug, thiserror::Error)]
enum Unseen {
    #[error("the key {id} could not be shown, and was taken back")]
    TakenBack { id: String, source: output::Error },
    #[error("the key {id} could not be shown, and is still there: nobody has it, and it counts among the holder's ({why})")]
    Left { id: String, why: tidemark_store::Error, source: output::Error },
}

pub(crate) async fn run(command: Key) -> Result<(), Failure> {
    let Key::Create { tenant, scopes, name, expires_at, json, .. } = command;
    let scopes: Vec<Scope> = scopes.into_iter().flat_map(|of_argument| of_argument.0).collect();
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
    let (new, now) = (NewKey { holder, scopes, name, expires_at }, clock::now());
    if new.is_over(now) {
        return Err(Failure::wrong_use("--expires-at: that moment has passed already"));
    }
    let signer = signer()?;
    let connection = Connection::open().await?;
    if let Holder::Tenant(tenant) = &new.holder
        && connection.store.tenant_settings(tenant).await?.created_at.is_none()
    {
        let id = tenant.id();
        eprintln!("warning: nobody has created the tenant {id}; if that is its name, `tidemark tenant create {id}` does");
    }
    let issued = connection.store.create_key(&new, signer.as_ref(), now).await?;
    let (id, key) = (issued.id, issued.key.expose_secret());
    let shown = if json {
        output::try_line(format_args!("{:#}", json!({ "id": id, "key": key })))
    } else {
        output::try_line(format_args!("{key}"))
    };
    if let Err(source) = shown {
        return Err(match connection.store.delete_key(&new.holder, &id).await {
            Ok(_) => Unseen::TakenBack { id, source }.into(),
            Err(why) => Unseen::Left { id, why, source }.into(),
        });
    }
    if !json {
        eprintln!("key {id} is shown this once; store it like a password");
    }
    if signer.is_none() {
        eprintln!(
            "note: TIDEMARK_SECRET_KEY is not set, so the key is not signed. It works, but during a flood of made-up keys an API process \
             may answer its first request with 429"
        );
    }
    Ok(())
}

/// Signs keys as the API does, if the deployment's key is here.
fn signer() -> Result<Option<KeySigner>, Failure> {
    let vars = Vars::from_process();
    let mut reader = Reader::new(&vars);
    let keys = SecretKeys::read_optional(&mut reader);
    let keys = reader.finish(|| keys).map_err(Failure::wrong_use)?;
    Ok(keys.map(|keys| KeySigner::new(&keys.current, keys.previous.as_deref())))
}
