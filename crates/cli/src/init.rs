//! `tidemark init`.

use anyhow::Context;
use tidemark_domain::Definitions;

use crate::Failure;
use crate::command::Init;
use crate::connection::Connection;

pub(crate) async fn run(options: Init) -> Result<(), Failure> {
    let definitions = if options.with_sources { Some(options.file.read()?) } else { None };
    let connection = Connection::open().await?;
    create_tables(&connection, &mut |line| println!("{line}")).await?;
    if let Some(definitions) = definitions {
        create_sources(&connection, &definitions, &mut |line| println!("{line}")).await?;
    }
    Ok(())
}

/// Creates Tidemark's own tables, telling each as it is done.
pub(crate) async fn create_tables(connection: &Connection, tell: &mut dyn FnMut(String)) -> anyhow::Result<()> {
    let tables = connection.store.tables().clone();
    let created = connection.store.create_data_table().await?;
    told(tell, &tables.data, created.is_new, created.warnings);
    let created = connection.streams.create_control_table().await?;
    told(tell, &tables.control, created.is_new, created.warnings);
    Ok(())
}

/// Creates the source tables that have a `key`, with their streams on.
pub(crate) async fn create_sources(
    connection: &Connection,
    definitions: &Definitions,
    tell: &mut dyn FnMut(String),
) -> anyhow::Result<()> {
    for (name, source) in &definitions.sources {
        let Some(key) = &source.key else {
            tell(format!("source {name}: has no `key`, so table {} is left to you", source.table));
            continue;
        };
        let created = connection.streams.create_source_table(&source.table, &key.partition, key.sort.as_deref()).await;
        let created = created.with_context(|| format!("source {name}"))?;
        told(tell, &source.table, created.is_new, created.warnings);
    }
    Ok(())
}

fn told(tell: &mut dyn FnMut(String), table: &str, new: bool, warnings: Vec<String>) {
    tell(format!("table {table}: {}", if new { "created" } else { "is there already" }));
    for warning in warnings {
        tell(format!("warning: {warning}"));
    }
}
