//! `tidemark definitions`.

use tidemark_domain::Running;
use tidemark_runtime::process::Failure;
use tidemark_store::Error;

use crate::command::{DefinitionFile, Definitions};
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
            let moved_at = connection.store.moved_zones().await?.into_iter().map(|(_, moved_at)| moved_at).max();
            let next = running.accept_from_now(&file, &metric, tidemark_runtime::clock::now(), moved_at);
            let next = next.map_err(Failure::wrong_use)?;
            put(&connection, &next).await?;
            say!("metric {metric} counts anew from now on, as generation {}", next.metrics[&metric].generation);
            Ok(())
        }
        Definitions::Remove { name, for_good, file } => remove(&name, for_good, &file).await,
    }
}

async fn remove(name: &str, for_good: bool, file: &DefinitionFile) -> Result<(), Failure> {
    let file = if for_good || file.path.is_none() { None } else { Some(file.read()?) };
    let connection = Connection::open().await?;
    let running = connection.running().await?;
    let next = running.remove(name).map_err(Failure::wrong_use)?;
    let left = paths(&next.definitions());
    // A source goes with what is made from it, which comes first.
    let removed = paths(&running.definitions()).into_iter().find(|path| !left.contains(path));
    let removed = removed.expect("what is removed ran before");
    if file.is_some_and(|file| paths(&file).contains(&removed)) {
        return Err(Failure::wrong_use(format!(
            "the definition file still has {removed}: the next worker to start would begin it anew, and what was counted until then \
             is answered no more. Take it out of the file first, or say --for-good"
        )));
    }
    put(&connection, &next).await?;
    say!("{removed} has ended, and is answered no more; of its rows those of days stay in the table, the others expire");
    Ok(())
}

/// What definitions name, as paths of a file: what is made from sources, then the sources.
fn paths(definitions: &tidemark_domain::Definitions) -> Vec<String> {
    let metrics = definitions.metrics.keys().map(|name| format!("metrics.{name}"));
    let inventories = definitions.inventories.keys().map(|name| format!("inventory.{name}"));
    let sources = definitions.sources.keys().map(|name| format!("sources.{name}"));
    metrics.chain(inventories).chain(sources).collect()
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
