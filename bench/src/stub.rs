//! An in-memory DynamoDB with its streams, over HTTP on loopback. It answers after a configured latency.
//!
//! Tables are the embedded emulator's, so conditions, updates and transactions are real. So are their streams, of one shard each. A table can
//! have the model of `tidemark-tests` in place of its stream: it has as many shards as a row wants, and is filled by [`Stub::append`]. Two
//! things are added that an emulator lacks and AWS has: the time that a call takes, and the conflict of two transactions that write one item
//! at the same time.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use dynoxide::Database;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::{Request, Response, StatusCode};
use serde_json::{Value, json};
use tidemark_runtime::clock;
use tidemark_tests::server::{self, Dropped};
use tidemark_tests::shards::TableStreams;
use tidemark_tests::{embedded, limits};
use tokio::task::JoinSet;

#[cfg(test)]
mod tests;
mod usage;

#[cfg(test)]
use usage::Calls;
pub(crate) use usage::Usage;

/// Every stub has the account of the emulator.
const ACCOUNT: &str = "arn:aws:dynamodb:us-east-1:000000000000:table";
/// Shards' ids and sequence numbers are the same in every run.
const SEED: u64 = 14;

/// What the names of errors begin with.
const NAMESPACE: &str = "com.amazonaws.dynamodb.v20120810#";

/// How long the stub takes to answer.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Latency {
    pub(crate) read: Duration,
    /// A transaction holds its items for so long: another that writes one of them meanwhile is refused as a conflict.
    pub(crate) write: Duration,
}

impl Latency {
    /// About what a table in the same region shows: single-digit milliseconds for a read, and twice that for a transaction.
    pub(crate) const REGION: Self = Self { read: Duration::from_millis(5), write: Duration::from_millis(10) };
}

/// A running stub. It ends when it is dropped.
pub(crate) struct Stub {
    url: String,
    direct_url: String,
    tables: Arc<Tables>,
    _servers: JoinSet<()>,
}

struct Tables {
    database: Database,
    latency: Latency,
    streams: Mutex<BTreeMap<String, TableStreams>>,
    usage: Mutex<Usage>,
    /// Items of the transactions that are being carried out.
    held: Mutex<HashSet<(String, String)>>,
}

impl Stub {
    /// # Errors
    /// When there is no memory database or no free port.
    pub(crate) async fn start(latency: Latency) -> anyhow::Result<Self> {
        let tables = Arc::new(Tables {
            database: Database::memory().context("cannot make an in-memory database")?,
            latency,
            streams: Mutex::default(),
            usage: Mutex::default(),
            held: Mutex::default(),
        });
        let (listener, address) = server::listen().await;
        let (direct, direct_address) = server::listen().await;
        let (mut servers, measured, unmeasured) = (JoinSet::new(), Arc::clone(&tables), Arc::clone(&tables));
        servers.spawn(server::serve(listener, move |request| Arc::clone(&measured).answer(request)));
        servers.spawn(server::serve(direct, move |request| Arc::clone(&unmeasured).answer_directly(request)));
        Ok(Self { url: format!("http://{address}"), direct_url: format!("http://{direct_address}"), tables, _servers: servers })
    }

    /// Where calls are counted, and take their time.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The same tables, for preparation and checks: calls are not counted and take no time.
    pub(crate) fn direct_url(&self) -> &str {
        &self.direct_url
    }

    /// Gives a table a stream with so many shards, in place of the emulator's.
    pub(crate) fn stream(&self, table: &str, shards: usize) {
        let streams = TableStreams::new(&format!("{ACCOUNT}/{table}"), "NEW_AND_OLD_IMAGES", shards, SEED, clock::now());
        lock(&self.tables.streams).insert(table.to_owned(), streams);
    }

    /// Adds records to the stream of a table, all of them between two calls.
    ///
    /// # Panics
    /// When the table has no stream of [`stream`](Self::stream).
    pub(crate) fn append<'a>(&self, table: &str, records: impl IntoIterator<Item = &'a Value>) {
        let mut streams = lock(&self.tables.streams);
        let streams = streams.get_mut(table).expect("a table with a stream");
        records.into_iter().for_each(|record| streams.append(record));
    }

    /// How many items a table has.
    pub(crate) fn items(&self, table: &str) -> u64 {
        let (_, described) = embedded::answer(&self.tables.database, "DescribeTable", &json!({ "TableName": table }).to_string());
        let described: Value = serde_json::from_str(&described).unwrap_or_default();
        described["Table"]["ItemCount"].as_u64().unwrap_or(0)
    }

    /// All calls so far.
    pub(crate) fn usage(&self) -> Usage {
        lock(&self.tables.usage).clone()
    }
}

impl Tables {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Dropped> {
        let (call, body) = read(request).await?;
        let is_write = usage::is_write(&call.name);
        let pause = if is_write { self.latency.write } else { self.latency.read };
        // Without latency no two calls meet: the database carries out one after the other.
        let items = if pause.is_zero() || !is_write { Vec::new() } else { items(&call.name, &body) };
        // Held until the answer is sent, or its client hangs up.
        let held = self.hold(&call.name, items);
        let (status, text) = match &held {
            Ok(_) => self.carry_out(&call, &body),
            Err(conflicting) => (400, conflict(&call.name, conflicting)),
        };
        match &held {
            Ok(_) => lock(&self.usage).note(&call.name, &text),
            Err(conflicting) => lock(&self.usage).note_conflict(&call.name, conflicting.len()),
        }
        sleep(pause).await;
        drop(held);
        Ok(response(status, text))
    }

    async fn answer_directly(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Dropped> {
        let (call, body) = read(request).await?;
        let (status, text) = self.carry_out(&call, &body);
        Ok(response(status, text))
    }

    fn carry_out(&self, call: &Call, body: &[u8]) -> (u16, String) {
        if call.is_of_streams { self.answer_stream(&call.name, body) } else { self.answer_table(&call.name, body) }
    }

    fn answer_table(&self, call: &str, body: &[u8]) -> (u16, String) {
        let text = String::from_utf8_lossy(body);
        // Every call that consumes units says how many when it is asked. Some of Tidemark's ask themselves.
        let asked = match text.trim_start().strip_prefix('{') {
            Some(rest) if usage::consumes(call) && !rest.contains("\"ReturnConsumedCapacity\"") => {
                format!("{{\"ReturnConsumedCapacity\":\"TOTAL\",{rest}")
            }
            _ => text.into_owned(),
        };
        let (status, answer) = embedded::answer(&self.database, call, &asked);
        if call == "DescribeTable" && status == 200 {
            return (status, self.with_stream(&answer));
        }
        (status, answer)
    }

    fn answer_stream(&self, call: &str, body: &[u8]) -> (u16, String) {
        let request: Value = serde_json::from_slice(body).unwrap_or_default();
        let name = if call == "GetRecords" { "ShardIterator" } else { "StreamArn" };
        let arn = request[name].as_str().unwrap_or_default();
        let table = arn.split_once(":table/").and_then(|(_, rest)| rest.split_once('/')).map_or("", |(table, _)| table);
        let mut streams = lock(&self.streams);
        let Some(streams) = streams.get_mut(table) else {
            drop(streams);
            return embedded::answer(&self.database, call, &request.to_string());
        };
        match streams.answer(call, &request, clock::now()) {
            Ok(answer) => (200, answer.to_string()),
            Err(refused) => refusal(refused.code, &refused.message),
        }
    }

    /// A table's description, with its stream.
    fn with_stream(&self, description: &str) -> String {
        let mut description: Value = serde_json::from_str(description).unwrap_or_default();
        let table = description["Table"]["TableName"].as_str().unwrap_or_default().to_owned();
        if let Some(streams) = lock(&self.streams).get(&table) {
            streams.describe_in(&mut description["Table"]);
        }
        description.to_string()
    }

    /// Holds the items of a transaction. Other writes hold nothing: AWS carries them out one after the other.
    ///
    /// # Errors
    /// For each item whether a transaction holds it, if one does.
    fn hold(&self, call: &str, items: Vec<(String, String)>) -> Result<Held<'_>, Vec<bool>> {
        let mut held = lock(&self.held);
        let conflicting: Vec<bool> = items.iter().map(|item| held.contains(item)).collect();
        if conflicting.contains(&true) {
            return Err(conflicting);
        }
        let items = if call == "TransactWriteItems" { items } else { Vec::new() };
        held.extend(items.iter().cloned());
        Ok(Held { tables: self, items })
    }
}

/// Items that a transaction holds.
struct Held<'a> {
    tables: &'a Tables,
    items: Vec<(String, String)>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut held = lock(&self.tables.held);
        self.items.iter().for_each(|item| {
            held.remove(item);
        });
    }
}

/// Which call a request is.
struct Call {
    name: String,
    is_of_streams: bool,
}

async fn read(request: Request<Incoming>) -> Result<(Call, Bytes), Dropped> {
    let (parts, body) = request.into_parts();
    let target = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let (service, name) = target.split_once('.').unwrap_or_default();
    let call = Call { name: name.to_owned(), is_of_streams: service.starts_with("DynamoDBStreams") };
    Ok((call, body.collect().await.map_err(|_| Dropped)?.to_bytes()))
}

async fn sleep(pause: Duration) {
    // A sleep of zero would still end this task's turn.
    if !pause.is_zero() {
        tokio::time::sleep(pause).await;
    }
}

/// The items that a call writes.
fn items(call: &str, body: &[u8]) -> Vec<(String, String)> {
    let request: Value = serde_json::from_slice(body).unwrap_or_default();
    limits::items_written(call, &request)
}

/// The refusal of a call whose items are held, or not, by others.
fn conflict(call: &str, held: &[bool]) -> String {
    const MESSAGE: &str = "Transaction is ongoing for the item";
    if call != "TransactWriteItems" {
        return refusal("TransactionConflictException", MESSAGE).1;
    }
    let reasons = held.iter().map(|held| match held {
        true => json!({ "Code": "TransactionConflict", "Message": MESSAGE }),
        false => json!({ "Code": "None" }),
    });
    let reasons: Vec<Value> = reasons.collect();
    let (code, message) =
        ("TransactionCanceledException", "Transaction cancelled, please refer cancellation reasons for specific reasons");
    json!({ "__type": format!("{NAMESPACE}{code}"), "message": message, "CancellationReasons": reasons }).to_string()
}

fn refusal(code: &str, message: &str) -> (u16, String) {
    (400, json!({ "__type": format!("{NAMESPACE}{code}"), "message": message }).to_string())
}

fn response(status: u16, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/x-amz-json-1.0"));
    response
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
