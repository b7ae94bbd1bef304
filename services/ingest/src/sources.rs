//! The sources of a worker that starts: whether each one's table and stream are as they must be. It reads no record.

use std::collections::HashMap;

use tidemark_domain::definition::{KeySchema, Source};
use tidemark_domain::{Definitions, SourceName};
use tidemark_runtime::process::chain;
use tidemark_streams::{Error as StreamsError, SourceStream, Streams};

/// Why sources cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// DynamoDB could not be asked, which says nothing of the source, and would be so of the next one, too.
    #[error("source {name}")]
    Unasked { name: SourceName, source: StreamsError },
    /// Every source that is not as it must be, each in a line of its own that says what to do.
    #[error("{}", .0.join("\n"))]
    Unfit(Vec<String>),
}

/// The streams of all sources. Tables that are known are not asked about again: DynamoDB describes a stream ten times a second, to
/// all workers of an account together, and they may all start at once.
///
/// # Errors
/// Everything that is wrong with any of them, together.
pub(crate) async fn describe(
    streams: &Streams,
    definitions: &Definitions,
    tables: &mut HashMap<String, SourceStream>,
) -> Result<Vec<(SourceName, SourceStream)>, Error> {
    let (mut described, mut problems) = (Vec::new(), Vec::new());
    for (name, source) in &definitions.sources {
        let stream = match tables.get(&source.table) {
            Some(known) => Ok(known.clone()),
            None => streams.describe_source(&source.table).await,
        };
        match stream {
            Ok(stream) => {
                tables.insert(source.table.clone(), stream.clone());
                problems.extend(uncovered_keys(definitions, name, source, &stream).map(|problem| (name, problem)));
                described.push((name.clone(), stream));
            }
            Err(error) => match problem(&error) {
                Some(problem) => problems.push((name, problem)),
                None => return Err(Error::Unasked { name: name.clone(), source: error }),
            },
        }
    }
    if problems.is_empty() {
        return Ok(described);
    }
    Err(Error::Unfit(problems.into_iter().map(|(name, problem)| format!("source {name}: {problem}")).collect()))
}

/// What is wrong with a source's table or stream, or with what we may do with them, in one line; `None`: something else is wrong.
fn problem(error: &StreamsError) -> Option<String> {
    match error {
        StreamsError::TableMissing { .. }
        | StreamsError::StreamOff { .. }
        | StreamsError::WrongViewType { .. }
        | StreamsError::StreamGone { .. }
        | StreamsError::Denied { .. } => Some(chain(error).split_whitespace().collect::<Vec<_>>().join(" ")),
        _ => None,
    }
}

/// Two rows of a source must never be one level: tenant, item and location must tell every key apart.
fn uncovered_keys<'a>(
    definitions: &'a Definitions,
    name: &'a SourceName,
    source: &'a Source,
    stream: &SourceStream,
) -> impl Iterator<Item = String> + use<'a> {
    let mut keys = stream.key_attributes.iter().cloned();
    let key = keys.next().map(|partition| KeySchema { partition, sort: keys.next() });
    let inventories = definitions.inventories.iter().filter(move |(_, inventory)| inventory.source == *name);
    inventories.filter_map(move |(inventory, definition)| {
        let uncovered = definition.uncovered_keys(source, key.as_ref()?);
        (!uncovered.is_empty()).then(|| {
            format!(
                "inventory `{inventory}` does not use the key attribute `{}` of table {}: two rows could be one level",
                uncovered.join("`, `"),
                source.table
            )
        })
    })
}
