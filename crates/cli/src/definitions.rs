//! `tidemark definitions`.

use tidemark_domain::Running;
use tidemark_runtime::process::Failure;
use tidemark_store::Error;

use crate::command::Definitions;
use crate::connection::Connection;
use crate::output::{self, say};

pub(crate) async fn run(command: Definitions) -> Result<(), Failure> {
    match command {
        Definitions::Show { json } => {
            show(&Connection::open().await?.running().await?, json);
            Ok(())
        }
        Definitions::Accept { metric, file, .. } => {
            let file = file.read()?;
            let connection = Connection::open().await?;
            let running = connection.running().await?;
            let next = running.accept_from_now(&file, &metric, tidemark_runtime::clock::now()).map_err(Failure::wrong_use)?;
            put(&connection, &next).await?;
            say!("metric {metric} counts anew from now on, as generation {}", next.metrics[&metric].generation);
            Ok(())
        }
        Definitions::Remove { name } => {
            let connection = Connection::open().await?;
            let next = connection.running().await?.remove(&name).map_err(Failure::wrong_use)?;
            put(&connection, &next).await?;
            say!("{name} is no longer counted; its rows stay until they expire");
            Ok(())
        }
    }
}

async fn put(connection: &Connection, next: &Running) -> Result<(), Failure> {
    match connection.store.put_running(next).await {
        Err(Error::ConditionFailed) => {
            Err(Failure::failed("somebody else changed the definitions meanwhile; run the command again"))
        }
        put => Ok(put?),
    }
}

fn show(running: &Running, json: bool) {
    if json {
        output::json(&serde_json::to_value(running).expect("the document is plain data with text keys"));
        return;
    }
    say!("version {} (format {}, time zones {})", running.version, running.format, running.tzdb);
    for (name, source) in &running.sources {
        say!("source {name}: table {}", source.table);
    }
    for (name, metric) in &running.metrics {
        let since = metric.since.map_or_else(|| "the beginning".to_owned(), |since| since.to_string());
        let version = metric.definition.version();
        say!("metric {name} ({version}): generation {}, since {since}", metric.generation);
        for (measure, since) in &metric.measures_since {
            say!("  measure {measure}: since {since}");
        }
        for (set, since) in &metric.sets_since {
            say!("  set {set}: since {since}");
        }
    }
    for name in running.inventories.keys() {
        say!("inventory {name}");
    }
}
