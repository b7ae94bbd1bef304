//! `tidemark tenant`.

use serde_json::json;
use tidemark_domain::bucket::QUARTER_RETENTION_DAYS;
use tidemark_domain::{Currency, Zone};
use tidemark_runtime::process::Failure;
use tidemark_store::{NewTenant, Store, TenantCreated, TenantSettings};

use crate::command::Tenant;
use crate::connection::Connection;
use crate::output::{self, on_one_line, say};

pub(crate) async fn run(command: Tenant) -> Result<(), Failure> {
    let Tenant::Create { id, name, time_zone, currency, rates, json } = command;
    let connection = Connection::open().await?;
    let new = NewTenant { id, name, zone: time_zone, currency, rates: rates.into() };
    let created = create(&connection.store, &new).await?;
    let id = &new.id;
    if json {
        output::json(&json!({ "id": id }));
    } else {
        say!("tenant {id}: {created}");
    }
    Ok(())
}

/// Creates a tenant, and says in words whether it was there as it was asked for.
///
/// # Errors
/// When it is there otherwise, with what stands and what can be done.
pub(crate) async fn create(store: &Store, new: &NewTenant) -> Result<&'static str, Failure> {
    let id = &new.id;
    match store.create_tenant(new, tidemark_runtime::clock::now()).await? {
        TenantCreated::New => Ok("created"),
        TenantCreated::Same => Ok("exists already"),
        TenantCreated::Different => {
            let tenant = tidemark_store::Tenant::named_by_operator(id.clone());
            as_asked(new, &store.tenant_settings(&tenant).await?)?;
            Ok("exists already")
        }
        TenantCreated::ZoneFrozen(zone) => {
            let other = new.zone.as_ref().map_or("ZONE", Zone::name);
            Err(Failure::failed(format!(
                "tenant {id} is counted in {zone} already, and its time zone cannot be changed any more: days of {other} can be asked \
                 for with the parameter time_zone={other} as far back as 15-minute rows are kept ({QUARTER_RETENTION_DAYS} days); to \
                 have day rows of {other}, create a tenant of another id and let the records name it"
            )))
        }
    }
}

/// Whether a tenant is there as it was asked for. An option that was left out asks for nothing: what stands, stands.
///
/// # Errors
/// When it is not, with what stands.
fn as_asked(asked: &NewTenant, stands: &TenantSettings) -> Result<(), Failure> {
    let id = &asked.id;
    if stands.deleting_since.is_some() {
        return Err(Failure::failed(format!("tenant {id} is being deleted")));
    }
    let is_as_asked = asked.name.as_ref().is_none_or(|name| stands.name.as_ref() == Some(name))
        && asked.zone.as_ref().is_none_or(|zone| stands.zone == *zone)
        && asked.currency.as_ref().is_none_or(|currency| stands.currency.as_ref() == Some(currency))
        && asked
            .rates
            .named()
            .into_iter()
            .zip(stands.rates.named())
            .all(|((_, asked), (_, stands))| asked.is_none_or(|_| asked == stands));
    if is_as_asked {
        return Ok(());
    }
    let name = stands.name.as_deref().map_or_else(|| "no name".to_owned(), |name| format!("name `{}`", on_one_line(name)));
    let currency = stands.currency.as_ref().map_or("no currency", Currency::as_str);
    let rates = stands.rates.named().into_iter().filter_map(|(name, number)| Some(format!(", {name} {}", number?)));
    let settings = format!("{name}, time zone {}, {currency}{}", stands.zone, rates.collect::<String>());
    Err(Failure::failed(format!("tenant {id} exists already with other settings, which stand: {settings}")))
}

#[cfg(test)]
mod tests {
    use tidemark_domain::TenantId;
    use tidemark_store::TenantRates;

    use super::*;

    #[test]
    fn what_is_left_out_asks_for_nothing_and_what_stands_is_told_in_one_line() {
        let id = TenantId::new("acme").expect("an id");
        let asked = NewTenant { id: id.clone(), name: None, zone: None, currency: None, rates: TenantRates::default() };
        let stands = TenantSettings {
            id,
            name: Some("Acme\nerror: forged".to_owned()),
            zone: Zone::named("Europe/Berlin").expect("a zone"),
            zone_frozen: false,
            currency: None,
            rates: TenantRates { key_rps: Some(50), ..TenantRates::default() },
            created_at: None,
            deleting_since: None,
            version: 1,
        };
        assert!(as_asked(&asked, &stands).is_ok());
        assert!(as_asked(&NewTenant { zone: Some(stands.zone.clone()), ..asked.clone() }, &stands).is_ok());
        let euro = NewTenant { currency: Some(Currency::new("EUR").expect("a currency")), ..asked.clone() };
        let Err(Failure::Failed(cause)) = as_asked(&euro, &stands) else { panic!("it has no currency") };
        let told =
            r"other settings, which stand: name `Acme\u000aerror: forged`, time zone Europe/Berlin, no currency, key_rps 50";
        assert!(cause.to_string().ends_with(told), "{cause}");
        let rates =
            |key_rps| NewTenant { rates: TenantRates { key_rps: Some(key_rps), ..TenantRates::default() }, ..asked.clone() };
        assert!(as_asked(&rates(50), &stands).is_ok() && as_asked(&rates(51), &stands).is_err());
        let leaving = TenantSettings { deleting_since: Some(tidemark_runtime::clock::now()), ..stands };
        assert!(as_asked(&asked, &leaving).is_err());
    }
}
