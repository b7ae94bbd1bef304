//! The embedded emulator without its server: a call is a function call, in DynamoDB's JSON.

use dynoxide::{Database, DynoxideError};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Carries out a call: the status and the body that the emulator's server would answer with.
pub fn answer(database: &Database, call: &str, request: &str) -> (u16, String) {
    match carry_out(database, call, request) {
        Ok(body) => (200, body),
        Err(error) => (error.status_code(), error.to_json()),
    }
}

fn carry_out(db: &Database, call: &str, request: &str) -> Result<String, DynoxideError> {
    match call {
        "CreateTable" => with(request, |request| db.create_table(request)),
        "DeleteTable" => with(request, |request| db.delete_table(request)),
        "DescribeTable" => with(request, |request| db.describe_table(request)),
        "ListTables" => with(request, |request| db.list_tables(request)),
        "UpdateTable" => with(request, |request| db.update_table(request)),
        "UpdateTimeToLive" => with(request, |request| db.update_time_to_live(request)),
        "DescribeTimeToLive" => with(request, |request| db.describe_time_to_live(request)),
        "GetItem" => with(request, |request| db.get_item(request)),
        "PutItem" => with(request, |request| db.put_item(request)),
        "UpdateItem" => with(request, |request| db.update_item(request)),
        "DeleteItem" => with(request, |request| db.delete_item(request)),
        "Query" => with(request, |request| db.query(request)),
        "Scan" => with(request, |request| db.scan(request)),
        "BatchGetItem" => with(request, |request| db.batch_get_item(request)),
        "BatchWriteItem" => with(request, |request| db.batch_write_item(request)),
        "TransactGetItems" => with(request, |request| db.transact_get_items(request)),
        "TransactWriteItems" => with(request, |request| db.transact_write_items(request)),
        "ListStreams" => with(request, |request| db.list_streams(request)),
        "DescribeStream" => with(request, |request| db.describe_stream(request)),
        "GetShardIterator" => with(request, |request| db.get_shard_iterator(request)),
        "GetRecords" => with(request, |request| db.get_records(request)),
        other => Err(DynoxideError::ValidationException(format!("the embedded emulator is not asked for {other}"))),
    }
}

fn with<Request: DeserializeOwned, Answer: Serialize>(
    request: &str,
    call: impl FnOnce(Request) -> Result<Answer, DynoxideError>,
) -> Result<String, DynoxideError> {
    let malformed = |error: serde_json::Error| DynoxideError::SerializationException(error.to_string());
    let answer = call(serde_json::from_str(request).map_err(malformed)?)?;
    serde_json::to_string(&answer).map_err(malformed)
}
