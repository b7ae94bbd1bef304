//! `tidemark quarantine`.

use serde_json::{Value, json};
use tidemark_runtime::process::Failure;
use tidemark_store::{QuarantineQuery, Quarantined, StoredImage};

mod overview;

use crate::command::{QUARANTINE_LISTED_MAX, Quarantine, Whose};
use crate::connection::Connection;
use crate::output::{self, on_one_line, say};

pub(crate) async fn run(command: Quarantine) -> Result<(), Failure> {
    let connection = Connection::open().await?;
    match command {
        Quarantine::List { whose, limit, json } => match whose.named() {
            Some(whose) => list(&connection, &whose, limit, json).await,
            None => overview::list(&connection, limit, json).await,
        },
        Quarantine::Show { id, whose, json } => {
            let whose = whose.named().expect("clap requires one of them");
            let found = connection.store.quarantined_record_of(&whose, &id).await?;
            let record = found.ok_or_else(|| Failure::failed(format!("no record {id} here; records are kept 30 days")))?;
            show(&record, json);
            Ok(())
        }
    }
}

async fn list(connection: &Connection, whose: &tidemark_store::Whose, limit: u16, json: bool) -> Result<(), Failure> {
    let query = QuarantineQuery { after: None, limit: usize::from(limit), now: tidemark_runtime::clock::now() };
    let page = connection.store.quarantined_of(whose, &query).await?;
    if json {
        output::json(&json!({ "data": page.records.iter().map(in_json).collect::<Vec<_>>(), "more": page.more }));
        return Ok(());
    }
    if page.records.is_empty() {
        say!("nothing is quarantined here");
        return Ok(());
    }
    let row =
        |record: &Quarantined| vec![record.id.to_string(), record.at.to_string(), record.code.clone(), record.reason.clone()];
    output::table(&["id", "at", "code", "reason"], &page.records.iter().map(row).collect::<Vec<_>>());
    if page.more {
        say_cut(limit);
    }
    Ok(())
}

/// Tells that there is more than was listed.
fn say_cut(limit: u16) {
    if limit < QUARANTINE_LISTED_MAX {
        say!("… and more: raise --limit");
    } else {
        say!("… and more, which is not listed");
    }
}

fn show(record: &Quarantined, json: bool) {
    if json {
        output::json(&in_json(record));
        return;
    }
    say!("{}\n  source    {}\n  sequence  {}", record.id, record.source, record.sequence_number);
    say!("  at        {}\n  code      {}\n  reason    {}", record.at, record.code, on_one_line(&record.reason));
    for (name, image) in [("old", &record.old), ("new", &record.new)] {
        match image {
            None => say!("  {name}: none"),
            Some(StoredImage { json: Some(json), .. }) => say!("  {name}: {json:#}"),
            Some(image) => say!("  {name}: too large to keep ({} bytes, SHA-256 {})", image.bytes, image.sha256),
        }
    }
}

fn in_json(record: &Quarantined) -> Value {
    let image = |image: &Option<StoredImage>| {
        image.as_ref().map(
            |image| json!({ "json": image.json, "truncated": image.truncated, "bytes": image.bytes, "sha256": image.sha256 }),
        )
    };
    json!({
        "id": record.id.to_string(), "source": record.source, "sequence_number": record.sequence_number,
        "at": record.at.to_string(), "code": record.code, "reason": record.reason,
        "old": image(&record.old), "new": image(&record.new),
    })
}

impl Whose {
    /// `None`: nobody was named.
    fn named(self) -> Option<tidemark_store::Whose> {
        let of_tenant = self.tenant.map(tidemark_store::Whose::Tenant);
        of_tenant.or_else(|| self.source.map(tidemark_store::Whose::Source))
    }
}
