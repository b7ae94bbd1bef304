//! `tidemark init`.

use tidemark_domain::Definitions;
use tidemark_runtime::process::Failure;

use crate::command::Init;
use crate::connection::Connection;
use crate::progress::Progress;

pub(crate) async fn run(options: Init) -> Result<(), Failure> {
    let definitions = if options.with_sources { Some(options.file.read()?) } else { None };
    let connection = Connection::open().await?;
    create_tables(&connection, Progress::Shown).await?;
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

/// Creates the source tables that have a `key`, with their streams on.
pub(crate) async fn create_sources(
    connection: &Connection,
    definitions: &Definitions,
    progress: Progress,
) -> Result<(), Failure> {
    for (name, source) in &definitions.sources {
        let table = &source.table;
        let Some(key) = &source.key else {
            progress.say(&format!("table {table}: left to you, for source {name} has no `key`"));
            continue;
        };
        let creating = connection.streams.create_source_table(table, &key.partition, key.sort.as_deref());
        let created = progress.of_table(table, Box::pin(creating)).await?;
        progress.table_is_there(table, created.is_new, &created.warnings);
    }
    Ok(())
}
