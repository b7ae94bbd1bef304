//! The calls of DynamoDB Streams about one table, in their JSON form.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Listing, Refusal, StartAt, TableStreams};

impl TableStreams {
    /// Answers DescribeStream, GetShardIterator or GetRecords.
    ///
    /// # Errors
    /// As AWS refuses it.
    pub fn answer(&mut self, call: &str, request: &Value, now: Timestamp) -> Result<Value, Refusal> {
        match call {
            "DescribeStream" => self.describe(text(request, "StreamArn")?, listing(request)?, now),
            "GetShardIterator" => {
                let iterator = self.iterator(text(request, "StreamArn")?, text(request, "ShardId")?, start(request)?, now)?;
                Ok(json!({ "ShardIterator": iterator }))
            }
            "GetRecords" => {
                let page = self.page(text(request, "ShardIterator")?, limit(request)?, now)?;
                let mut answer = json!({ "Records": page.records });
                if let Some(next) = page.next {
                    answer["NextShardIterator"] = next.into();
                }
                Ok(answer)
            }
            other => Err(Refusal { code: "UnknownOperationException", message: other.to_owned() }),
        }
    }

    /// Puts the stream that is on into a description of its table.
    pub fn describe_in(&self, table: &mut Value) {
        table["LatestStreamArn"] = self.arn().into();
        table["LatestStreamLabel"] = self.label().into();
    }
}

fn listing(request: &Value) -> Result<Listing<'_>, Refusal> {
    let filter = &request["ShardFilter"];
    let children_of = match filter["Type"].as_str() {
        None => None,
        Some("CHILD_SHARDS") => Some(text(filter, "ShardId")?),
        Some(other) => return Err(Refusal::invalid(format!("Invalid ShardFilter type: {other}"))),
    };
    Ok(Listing { after: request["ExclusiveStartShardId"].as_str(), limit: limit(request)?, children_of })
}

fn start(request: &Value) -> Result<StartAt<'_>, Refusal> {
    match text(request, "ShardIteratorType")? {
        "TRIM_HORIZON" => Ok(StartAt::TrimHorizon),
        "LATEST" => Ok(StartAt::Latest),
        "AT_SEQUENCE_NUMBER" => Ok(StartAt::At(text(request, "SequenceNumber")?)),
        "AFTER_SEQUENCE_NUMBER" => Ok(StartAt::After(text(request, "SequenceNumber")?)),
        "AT_TIMESTAMP" => {
            let second = request["Timestamp"].as_f64();
            second.map(StartAt::Time).ok_or_else(|| Refusal::invalid("Timestamp cannot be null"))
        }
        other => Err(Refusal::invalid(format!("Invalid ShardIteratorType: {other}"))),
    }
}

fn limit(request: &Value) -> Result<Option<usize>, Refusal> {
    let number = |limit: &Value| limit.as_u64().and_then(|limit| usize::try_from(limit).ok());
    match request.get("Limit") {
        None | Some(Value::Null) => Ok(None),
        Some(limit) => number(limit).map(Some).ok_or_else(|| Refusal::invalid("Limit is no number")),
    }
}

fn text<'a>(request: &'a Value, name: &str) -> Result<&'a str, Refusal> {
    request[name].as_str().ok_or_else(|| Refusal::invalid(format!("{name} cannot be null")))
}
