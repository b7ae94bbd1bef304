//! A consumer without leases, order, checkpoints or retries: GetRecords and, if asked for, one UpdateItem per row.

use anyhow::Context;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_dynamodbstreams::types::{AttributeValue as Streamed, Record, ShardIteratorType};
use aws_types::SdkConfig;
use futures::{StreamExt, TryStreamExt, stream};
use tidemark_tests::deployment::tables;
use tokio::time::Instant;

use super::{Needed, Reader};
use crate::process::own_cpu_seconds;

/// UpdateItem calls at the same time.
const CONCURRENCY: usize = 16;
/// The grouping sets of definitions/retail.yaml. Each has a row per quarter of an hour and a row per day.
const SETS: [&[&str]; 5] = [&[], &["item_number"], &["region"], &["channel"], &["item_number", "region"]];

impl Reader {
    pub(super) async fn run(&self, config: &SdkConfig) -> anyhow::Result<Needed> {
        let streams = aws_sdk_dynamodbstreams::Client::new(config);
        let dynamodb = aws_sdk_dynamodb::Client::new(config);
        let described = dynamodb.describe_table().table_name(&self.table).send().await?;
        let arn = described.table.and_then(|table| table.latest_stream_arn).context("the table has no stream")?;
        let shards = shards(&streams, &arn).await?;
        let (cpu, wall) = (own_cpu_seconds()?, Instant::now());
        let mut records = 0;
        for _ in 0..self.times {
            for shard in &shards {
                records += self.read(&streams, &dynamodb, &arn, shard, records).await?;
            }
        }
        Ok(Needed { cpu_seconds: own_cpu_seconds()? - cpu, wall_seconds: wall.elapsed().as_secs_f64(), records })
    }

    /// Reads a shard up to the first empty page. How many records it had.
    async fn read(
        &self,
        streams: &aws_sdk_dynamodbstreams::Client,
        dynamodb: &aws_sdk_dynamodb::Client,
        arn: &str,
        shard: &str,
        read_before: usize,
    ) -> anyhow::Result<usize> {
        let begin = streams.get_shard_iterator().stream_arn(arn).shard_id(shard);
        let mut iterator = begin.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await?.shard_iterator;
        let mut read = 0;
        while let Some(at) = iterator.take() {
            let page = streams.get_records().shard_iterator(at).send().await?;
            let records = page.records.unwrap_or_default();
            if records.is_empty() || (self.updates_of > 0 && read_before + read >= self.updates_of) {
                break;
            }
            read += if self.updates_of == 0 {
                records.len()
            } else {
                self.update(dynamodb, &records, self.updates_of - read_before - read).await?
            };
            iterator = page.next_shard_iterator;
        }
        Ok(read)
    }

    /// Writes the first changes of a page. How many.
    async fn update(&self, dynamodb: &aws_sdk_dynamodb::Client, records: &[Record], most: usize) -> anyhow::Result<usize> {
        let count = records.len().min(most);
        let updates = records[..count].iter().filter_map(|record| record.dynamodb.as_ref()).flat_map(updates_of);
        let calls = stream::iter(updates).map(|(pk, sk, [units, revenue, orders])| {
            let update = dynamodb.update_item().table_name(tables().data);
            let update = update.key("pk", AttributeValue::S(pk)).key("sk", AttributeValue::S(sk));
            let update = update.update_expression("ADD m_units :units, m_revenue :revenue, m_orders :orders");
            let number = |number: f64| AttributeValue::N(number.to_string());
            let update = update.expression_attribute_values(":units", number(units));
            update
                .expression_attribute_values(":revenue", number(revenue))
                .expression_attribute_values(":orders", number(orders))
                .send()
        });
        calls.buffer_unordered(CONCURRENCY).try_for_each(|_| async { Ok(()) }).await?;
        Ok(count)
    }
}

/// All shards of a stream.
///
/// # Errors
/// When the stream cannot be described.
pub(crate) async fn shards(streams: &aws_sdk_dynamodbstreams::Client, arn: &str) -> anyhow::Result<Vec<String>> {
    let mut shards = Vec::new();
    let mut after = None;
    loop {
        let described = streams.describe_stream().stream_arn(arn).set_exclusive_start_shard_id(after).send().await?;
        let page = described.stream_description.context("a description")?;
        shards.extend(page.shards.unwrap_or_default().into_iter().filter_map(|shard| shard.shard_id));
        after = page.last_evaluated_shard_id;
        if after.is_none() {
            return Ok(shards);
        }
    }
}

/// The key of each row that a change belongs to, and what it adds: units, revenue, orders.
fn updates_of(change: &aws_sdk_dynamodbstreams::types::StreamRecord) -> Vec<(String, String, [f64; 3])> {
    let (old, new) = (change.old_image.as_ref(), change.new_image.as_ref());
    let Some(image) = new.or(old) else { return Vec::new() };
    let text = |name: &str| image.get(name).and_then(|value| value.as_s().ok()).cloned().unwrap_or_default();
    let number = |name: &str, image: Option<&std::collections::HashMap<String, Streamed>>| {
        image.and_then(|image| image.get(name)?.as_n().ok()?.parse::<f64>().ok()).unwrap_or(0.0)
    };
    let sums = |image| {
        let (quantity, price) = (number("quantity", image), number("unit_price", image));
        [quantity, quantity * price, if image.is_some() { 1.0 } else { 0.0 }]
    };
    let (before, after, date) = (sums(old), sums(new), text("order_date"));
    let added = [0, 1, 2].map(|measure| after[measure] - before[measure]);
    let rows = SETS.iter().flat_map(|set| {
        let groups = set.iter().map(|name| text(name)).collect::<Vec<_>>().join("#");
        let (day, quarter) = (&date[..10], &date[..16]);
        [('d', day), ('q', quarter)]
            .map(|(width, bucket)| (format!("lambda#{width}#{}#{day}", set.join(".")), format!("{groups}#{bucket}"), added))
    });
    rows.collect()
}
