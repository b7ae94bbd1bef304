//! What a stream says about its shards, and linking a finished shard to its children.

use std::time::Duration;

use aws_sdk_dynamodbstreams::error::ProvideErrorMetadata;
use aws_sdk_dynamodbstreams::types::{ShardFilter, ShardFilterType};

use crate::client::Streams;
use crate::control::shard::{Fence, ShardItem};
use crate::error::Error;
use crate::graph::beginning;
use crate::id::{ShardId, StreamArn};
use crate::lease::HeldShard;

/// Children of a shard that has just closed may not be listed yet.
const LINK_TRIES: u32 = 10;
const LINK_WAIT_MIN: Duration = Duration::from_millis(50);
const LINK_WAIT_MAX: Duration = Duration::from_secs(1);

/// Most pages (of 100 shards) one look for children reads: an emulator that ignores the filter lists everything.
const CHILD_PAGES_MAX: usize = 100;

/// A shard as the stream lists it. The listing's sequence numbers are not kept: only an emulator's open shard has an
/// ending one, so they say nothing about being closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListedShard {
    pub(crate) shard: ShardId,
    pub(crate) parent: Option<ShardId>,
}

/// At most 100 shards, and where the next page starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListingPage {
    pub(crate) shards: Vec<ListedShard>,
    pub(crate) next: Option<ShardId>,
}

impl Streams {
    /// One page of a stream's shards, or of the children of `parent`. Emulators ignore that filter and list everything.
    pub(crate) async fn list_page(
        &self,
        arn: &StreamArn,
        parent: Option<&ShardId>,
        after: Option<&ShardId>,
    ) -> Result<ListingPage, Error> {
        let children_of =
            |shard: &ShardId| ShardFilter::builder().r#type(ShardFilterType::ChildShards).shard_id(shard.as_str()).build();
        let request = self
            .streams
            .describe_stream()
            .stream_arn(arn.as_str())
            .set_shard_filter(parent.map(children_of))
            .set_exclusive_start_shard_id(after.map(ShardId::to_string));
        let answer = request.send().await.map_err(|error| match error.code() {
            Some("ResourceNotFoundException") => Error::StreamGone { arn: arn.clone(), source: error.into() },
            _ => Error::of("DescribeStream", error),
        })?;
        let incomplete = |what| Error::Incomplete { operation: "DescribeStream", what };
        let stream = answer.stream_description.ok_or_else(|| incomplete("a description"))?;
        let mut shards = Vec::new();
        for shard in stream.shards.unwrap_or_default() {
            shards.push(ListedShard {
                shard: ShardId::new(shard.shard_id().ok_or_else(|| incomplete("a shard's id"))?)?,
                parent: shard.parent_shard_id().map(ShardId::new).transpose()?,
            });
        }
        Ok(ListingPage { shards, next: stream.last_evaluated_shard_id.as_deref().map(ShardId::new).transpose()? })
    }

    async fn children(&self, arn: &StreamArn, parent: &ShardId) -> Result<Vec<ShardId>, Error> {
        let mut children = Vec::new();
        let mut after = None;
        for _ in 0..CHILD_PAGES_MAX {
            let page = self.list_page(arn, Some(parent), after.as_ref()).await?;
            let is_child = |shard: &ListedShard| shard.parent.as_ref() == Some(parent);
            children.extend(page.shards.into_iter().filter(is_child).map(|shard| shard.shard));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Ok(children)
    }

    /// At a shard's end, before [`ShardEnd`](crate::Position::ShardEnd) is committed: stores the shard's children, owned by the
    /// shard's holder and gated on the shard, so that reading goes on without a pause. Their number; none when the stream lists
    /// no child for about six seconds (it was disabled, or lists them later: discovery finds them then).
    ///
    /// # Errors
    /// When listing fails for good, or a child cannot be stored.
    pub async fn link_children(&self, arn: &StreamArn, held: &HeldShard) -> Result<usize, Error> {
        let mut wait = LINK_WAIT_MIN;
        for attempt in 1..=LINK_TRIES {
            let children = match self.children(arn, &held.shard).await {
                Err(error) if error.is_retryable() && attempt < LINK_TRIES => Vec::new(),
                answer => answer?,
            };
            if !children.is_empty() {
                self.adopt(held, &children).await?;
                return Ok(children.len());
            }
            if attempt < LINK_TRIES {
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(LINK_WAIT_MAX);
            }
        }
        Ok(0)
    }

    async fn adopt(&self, parent: &HeldShard, children: &[ShardId]) -> Result<(), Error> {
        for child in children {
            // Of a parent of which nothing was counted since the start, the child may be older than the start, too.
            let position = beginning(&parent.position, child);
            let unread = ShardItem::unread(child.clone(), Some(parent.shard.clone()), position);
            let fence = Fence { owner: Some(parent.lease.owner.clone()), epoch: 1, defs: parent.defs, ..unread.fence.clone() };
            // Its records are later than its parent's. Where its id tells when it begins, that says more.
            let watermark = parent.watermark.filter(|_| child.created_ms().is_none());
            self.put_new(ShardItem { fence, watermark, ..unread }.into_item(&parent.stream)).await?;
        }
        // Last: a shard with children noted no longer holds the stream's watermark, so they must be there.
        self.link(&parent.stream, &parent.shard, children).await
    }
}
