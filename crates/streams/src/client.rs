//! The handle on DynamoDB that everything else in this crate works through.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::config::SharedInterceptor;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::clock::ServiceClock;

/// Longest wait for a connection, for one attempt, and for a call with its retries.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
const OPERATION_TIMEOUT: Duration = Duration::from_secs(15);
pub(crate) const ATTEMPTS_MAX: u32 = 3;

/// The clients of DynamoDB and DynamoDB Streams, and the name of the control table. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Streams {
    pub(crate) dynamodb: aws_sdk_dynamodb::Client,
    pub(crate) streams: aws_sdk_dynamodbstreams::Client,
    pub(crate) control_table: Arc<str>,
    pub(crate) clock: ServiceClock,
}

impl Streams {
    /// Region, endpoint and credentials come from `config`; timeouts and retries are this crate's own.
    pub fn new(config: &SdkConfig, control_table: String) -> Self {
        let clock = ServiceClock::new();
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .operation_timeout(OPERATION_TIMEOUT)
            .build();
        let dynamodb = aws_sdk_dynamodb::config::Builder::from(config)
            .timeout_config(timeouts.clone())
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS_MAX))
            .interceptor(clock.clone())
            .build();
        // No retries: the reader and the lister pace themselves, and must see each refusal to do so.
        let streams = aws_sdk_dynamodbstreams::config::Builder::from(config)
            .timeout_config(timeouts)
            .retry_config(RetryConfig::disabled())
            .interceptor(clock.clone())
            .build();
        Self {
            dynamodb: aws_sdk_dynamodb::Client::from_conf(dynamodb),
            streams: aws_sdk_dynamodbstreams::Client::from_conf(streams),
            control_table: control_table.into(),
            clock,
        }
    }

    /// The time of DynamoDB, as the answers to this handle's calls show it.
    pub fn clock(&self) -> &ServiceClock {
        &self.clock
    }

    /// DynamoDB's time now, where `own` is this machine's: that, unless it is known to be wrong.
    pub fn now_or(&self, own: Timestamp) -> Timestamp {
        let mono = Instant::now();
        own - self.clock.skew(own, mono)
    }

    /// The same, with every call going through an interceptor of the SDK: the process measures what it does.
    #[must_use]
    pub fn with_interceptor(self, interceptor: SharedInterceptor) -> Self {
        let mut dynamodb = self.dynamodb.config().to_builder();
        dynamodb.push_interceptor(interceptor.clone());
        let mut streams = self.streams.config().to_builder();
        streams.push_interceptor(interceptor);
        Self {
            dynamodb: aws_sdk_dynamodb::Client::from_conf(dynamodb.build()),
            streams: aws_sdk_dynamodbstreams::Client::from_conf(streams.build()),
            ..self
        }
    }
}
