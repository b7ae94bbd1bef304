//! DescribeStream and ListStreams.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::shard::Shard;
use super::{Refusal, Stream, TableStreams};

/// Most shards of one page.
pub(super) const LISTED_MAX: usize = 100;
/// Most DescribeStream calls within a second.
const LISTINGS_MAX: usize = 10;

/// What DescribeStream is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Listing<'a> {
    /// Shards behind this one.
    pub after: Option<&'a str>,
    pub limit: Option<usize>,
    /// Only this shard's children.
    pub children_of: Option<&'a str>,
}

impl TableStreams {
    /// DescribeStream: its answer. Shards come in the order of their ids, which is none of lineage: two born in one millisecond,
    /// parent and child even, come in any order.
    ///
    /// # Errors
    /// When there is no such stream, the limit is none, or there were ten calls within the second before.
    pub fn describe(&mut self, arn: &str, listing: Listing<'_>, now: Timestamp) -> Result<Value, Refusal> {
        if listing.limit.is_some_and(|limit| !(1..=LISTED_MAX).contains(&limit)) {
            return Err(Refusal::invalid("Value at 'limit' failed to satisfy constraint: Member must be between 1 and 100"));
        }
        self.count_listing(now)?;
        let page_max = listing.limit.unwrap_or(LISTED_MAX).min(self.rules.listed_max);
        let filter = listing.children_of.filter(|_| self.rules.honours_child_filter);
        let looks_open = self.rules.parents_look_open;
        let stream = self.stream(arn)?;
        let mut listed: Vec<&Shard> = stream.shards.iter().filter(|shard| !shard.gone && shard.hidden == 0).collect();
        listed.retain(|shard| filter.is_none_or(|parent| shard.parent.as_deref() == Some(parent)));
        listed.sort_by(|a, b| a.id.cmp(&b.id));
        listed.retain(|shard| listing.after.is_none_or(|after| shard.id.as_str() > after));
        let more = listed.len() > page_max;
        listed.truncate(page_max);
        let mut description = summary(stream);
        description["Shards"] = listed.iter().map(|shard| shard_json(shard, looks_open)).collect();
        description["TableName"] = self.table.clone().into();
        description["StreamViewType"] = self.view_type.clone().into();
        description["StreamStatus"] = if arn == self.arn() { "ENABLED" } else { "DISABLED" }.into();
        description["CreationRequestDateTime"] = stream.created_at.as_duration().as_secs_f64().into();
        if let Some(last) = listed.last().filter(|_| more) {
            description["LastEvaluatedShardId"] = last.id.clone().into();
        }
        self.reveal(arn);
        Ok(json!({ "StreamDescription": description }))
    }

    /// This table's part of ListStreams.
    pub fn list(&self) -> Vec<Value> {
        let with_table = |stream| {
            let mut summary = summary(stream);
            summary["TableName"] = self.table.clone().into();
            summary
        };
        self.streams.iter().map(with_table).collect()
    }

    fn count_listing(&mut self, now: Timestamp) -> Result<(), Refusal> {
        let a_second = SignedDuration::from_secs(1);
        self.listings.retain(|listed_at| now.duration_since(*listed_at) < a_second);
        if self.rules.limits_listings && self.listings.len() >= LISTINGS_MAX {
            let message = "Too many DescribeStream calls in a second".to_owned();
            return Err(Refusal { code: "LimitExceededException", message });
        }
        self.listings.push_back(now);
        Ok(())
    }

    /// A listing has passed: shards that come late are a listing nearer.
    fn reveal(&mut self, arn: &str) {
        let shards = self.streams.iter_mut().filter(|stream| stream.arn == arn).flat_map(|stream| &mut stream.shards);
        for shard in shards {
            shard.hidden = shard.hidden.saturating_sub(1);
        }
    }
}

fn summary(Stream { arn, label, .. }: &Stream) -> Value {
    json!({ "StreamArn": arn, "StreamLabel": label })
}

fn shard_json(shard: &Shard, looks_open: bool) -> Value {
    let mut numbers = json!({ "StartingSequenceNumber": shard.first });
    if let Some(last) = shard.last.as_ref().filter(|_| !looks_open) {
        numbers["EndingSequenceNumber"] = last.clone().into();
    }
    let mut json = json!({ "ShardId": shard.id, "SequenceNumberRange": numbers });
    if let Some(parent) = &shard.parent {
        json["ParentShardId"] = parent.clone().into();
    }
    json
}
