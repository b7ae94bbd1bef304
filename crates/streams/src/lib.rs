//! Reads DynamoDB Streams in lineage order, under fenced leases.
