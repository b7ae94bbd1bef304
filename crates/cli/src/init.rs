//! `tidemark init`.

use tidemark_domain::Definitions;
use tidemark_domain::definition::Source;
use tidemark_runtime::process::Failure;
use tidemark_store::{NewTenant, TenantRates};

use crate::command::{Init, TenantInZone, Tenants};
use crate::connection::Connection;
use crate::progress::Progress;
use crate::tenant;

pub(crate) async fn run(options: Init) -> Result<(), Failure> {
    let definitions = if options.with_sources { Some(options.file.read()?) } else { None };
    let connection = Connection::open().await?;
    create_tables(&connection, Progress::Shown).await?;
    // Before the source tables: a worker that runs already may read their records at once.
    create_tenants(&connection, &options.tenants, Progress::Shown).await?;
    if let Some(definitions) = definitions {
        create_sources(&connection, &definitions, Progress::Shown).await?;
    }
    Ok(())
}

/// Creates Tidemark's own tables.
pub(crate) async fn create_tables(connection: &Connection, progress: Progress) -> Result<(), Failure> {
    let Connection { store, streams } = connection;
    let tables = store.tables();
    let created = progress.of_table(&tables.data, Box::pin(store.create_data_table())).await?;
    progress.table_is_there(&tables.data, created.is_new, &created.warnings);
    let created = progress.of_table(&tables.control, Box::pin(streams.create_control_table())).await?;
    progress.table_is_there(&tables.control, created.is_new, &created.warnings);
    Ok(())
}

/// Creates tenants, each with its zone. Those that are there with that zone stay as they are.
pub(crate) async fn create_tenants(connection: &Connection, tenants: &Tenants, progress: Progress) -> Result<(), Failure> {
    for TenantInZone { id, zone } in &tenants.tenants {
        let new =
            NewTenant { id: id.clone(), name: None, zone: Some(zone.clone()), currency: None, rates: TenantRates::default() };
        let created = tenant::create(&connection.store, &new).await?;
        progress.say(&format!("tenant {id}: {created}"));
    }
    Ok(())
}

/// Creates the source tables that have a `key`, with their streams on. What is there already stays as it is; what workers could not
/// read of it is a warning.
pub(crate) async fn create_sources(
    connection: &Connection,
    definitions: &Definitions,
    progress: Progress,
) -> Result<(), Failure> {
    for (name, source) in &definitions.sources {
        let table = &source.table;
        let Some(key) = &source.key else {
            progress.say(&format!("table {table}: left to you, for source {name} has no `key`"));
            progress.warn(&objections(connection, source).await);
            continue;
        };
        let creating = connection.streams.create_source_table(table, &key.partition, key.sort.as_deref());
        let created = progress.of_table(table, Box::pin(creating)).await?;
        let objections = if created.is_new { Vec::new() } else { objections(connection, source).await };
        progress.table_is_there(table, created.is_new, &[created.warnings, objections].concat());
    }
    Ok(())
}

/// What there is to object to a source table that was there before; of one that is not, there is nothing to say.
async fn objections(connection: &Connection, source: &Source) -> Vec<String> {
    let table = &source.table;
    let found = match connection.streams.describe_source(table).await {
        Ok(found) => found.key_attributes,
        Err(tidemark_streams::Error::TableMissing { .. }) => return Vec::new(),
        // Off, of another view type, or not to be seen: its text says what to do.
        Err(error) => return vec![error.to_string()],
    };
    let Some(key) = &source.key else { return Vec::new() };
    let wanted: Vec<&String> = [&key.partition].into_iter().chain(&key.sort).collect();
    let differs = !found.iter().eq(wanted.iter().copied());
    let told = |attributes: Vec<&String>| attributes.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" and ");
    let objection = || {
        let (found, wanted) = (told(found.iter().collect()), told(wanted));
        format!("table `{table}`: its key is {found}, and the file says {wanted}; a table keeps its key, so mend the file")
    };
    differs.then(objection).into_iter().collect()
}
