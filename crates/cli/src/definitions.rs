//! `tidemark definitions`.

use anyhow::{Context, anyhow};
use tidemark_domain::Running;
use tidemark_store::Error;

use crate::Failure;
use crate::command::Definitions;
use crate::connection::Connection;
use crate::output;

pub(crate) async fn run(command: Definitions) -> Result<(), Failure> {
    let connection = Connection::open().await?;
    let running = connection.store.running().await.map_err(anyhow::Error::from)?;
    let running = running.ok_or_else(|| anyhow!("nothing runs yet: start tidemark-ingest with a definition file first"))?;
    match command {
        Definitions::Show { json } => {
            show(&running, json);
            Ok(())
        }
        Definitions::Accept { metric, file, .. } => {
            let file = file.read()?;
            let next = running.accept_from_now(&file, &metric, tidemark_runtime::clock::now()).map_err(Failure::wrong_use)?;
            put(&connection, &next).await?;
            println!("metric {metric} counts anew from now on, as generation {}", next.metrics[&metric].generation);
            Ok(())
        }
        Definitions::Remove { name } => {
            let next = running.remove(&name).map_err(Failure::wrong_use)?;
            put(&connection, &next).await?;
            println!("{name} is no longer counted; its rows stay until they expire");
            Ok(())
        }
    }
}

async fn put(connection: &Connection, next: &Running) -> Result<(), Failure> {
    match connection.store.put_running(next).await {
        Ok(()) => Ok(()),
        Err(error @ Error::ConditionFailed) => {
            Err(error).context("somebody else changed the definitions; run the command again")?
        }
        Err(error) => Err(anyhow::Error::from(error).into()),
    }
}

fn show(running: &Running, json: bool) {
    if json {
        output::json(&serde_json::to_value(running).expect("the document is plain data with text keys"));
        return;
    }
    println!("version {} (format {}, time zones {})", running.version, running.format, running.tzdb);
    for (name, source) in &running.sources {
        println!("source {name}: table {}", source.table);
    }
    for (name, metric) in &running.metrics {
        let since = metric.since.map_or_else(|| "the beginning".to_owned(), |since| since.to_string());
        let version = metric.definition.version();
        println!("metric {name} ({version}): generation {}, since {since}", metric.generation);
        for (measure, since) in &metric.measures_since {
            println!("  measure {measure}: since {since}");
        }
        for (set, since) in &metric.sets_since {
            println!("  set {set}: since {since}");
        }
    }
    for name in running.inventories.keys() {
        println!("inventory {name}");
    }
}
