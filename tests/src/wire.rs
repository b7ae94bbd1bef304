//! A DynamoDB in this process, reached by the SDK without sockets: for runs in virtual time.
//!
//! The SDK's HTTP client is replaced by function calls: tables are the embedded emulator's, streams a stream front's. Nothing
//! waits for the outside world, so on a current-thread runtime with tokio's clock paused, time passes only when every task
//! waits for it, and hours of a worker's life take as long as its computing does.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_types::SdkConfig;
use aws_types::region::Region;
use aws_types::sdk_config::{StalledStreamProtectionConfig, TimeSource};
use dynoxide::Database;
use jiff::fmt::rfc2822::DateTimePrinter;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tidemark_runtime::aws;
use tokio::time::Instant;

use crate::origin::Origin;
use crate::stream_front::{Shards, StreamFront};
use crate::{embedded, limits};

/// What happens to calls: a function that is given each one, lets it be carried out when and if it wants to, and decides what
/// the client learns.
pub type Hook = Arc<dyn Fn(Call) -> Answering + Send + Sync>;
/// The answer to a call, some time.
pub type Answering = Pin<Box<dyn Future<Output = Result<Answer, Lost>> + Send>>;

/// A DynamoDB in this process; clones share it.
#[derive(Clone)]
pub struct Wire {
    parts: Arc<Parts>,
    hook: Hook,
    /// The SDK keeps one budget of retries for all clients of a process and a region. Each wire is a region, so that those who
    /// come by different wires have different budgets, as processes have.
    region: Region,
}

struct Parts {
    database: Database,
    streams: Arc<StreamFront>,
    clock: VirtualClock,
}

/// A call on its way.
#[derive(Clone)]
pub struct Call {
    /// As in `X-Amz-Target`, without the service: `GetRecords`.
    pub name: String,
    pub request: Value,
    is_streams: bool,
    parts: Arc<Parts>,
}

/// What a call is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: String,
    /// The `Date` header: when DynamoDB made the answer. `None`: when it arrives.
    pub made_at: Option<Timestamp>,
}

/// The connection breaks: there is no answer, whether or not the call was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the wire drops this connection")]
pub struct Lost;

/// A wall clock that tokio's clock moves.
#[derive(Debug, Clone, Copy)]
struct VirtualClock {
    starts_at: Timestamp,
    since: Instant,
}

impl Wire {
    /// An empty DynamoDB whose streams begin with so many shards. Its clock starts at `starts_at` and goes as tokio's does.
    ///
    /// # Panics
    /// When there can be no embedded database.
    pub fn start(shards: usize, seed: u64, starts_at: Timestamp) -> Self {
        let clock = VirtualClock { starts_at, since: Instant::now() };
        let database = Database::memory_with_clock(Arc::new(clock)).expect("an embedded DynamoDB");
        let streams =
            StreamFront::new(Origin::Embedded(database.clone(), starts_at), Arc::new(move || clock.now()), shards, seed);
        let hook: Hook = Arc::new(|call| Box::pin(async move { Ok(call.carry_out().await) }));
        Self { parts: Arc::new(Parts { database, streams, clock }), hook, region: new_region() }
    }

    /// The same DynamoDB by a wire on which this happens to each call. Clients made before do not notice.
    #[must_use]
    pub fn with_hook<F>(&self, hook: impl Fn(Call) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Answer, Lost>> + Send + 'static,
    {
        Self { hook: Arc::new(move |call| Box::pin(hook(call))), region: new_region(), parts: Arc::clone(&self.parts) }
    }

    /// The same wire, on which this is done to the body of each request before anything else happens to the call.
    #[must_use]
    pub fn with_request(&self, change: impl Fn(&mut Value) + Send + Sync + 'static) -> Self {
        let hook = Arc::clone(&self.hook);
        let hook: Hook = Arc::new(move |mut call| {
            change(&mut call.request);
            hook(call)
        });
        Self { hook, ..self.clone() }
    }

    /// The SDK configuration that leads here. Signatures bear one fixed time; waiting is tokio's.
    pub fn config(&self) -> SdkConfig {
        let config = aws::at_endpoint("http://dynamodb.invalid", "wire").into_builder();
        config
            .http_client(self.clone())
            .region(self.region.clone())
            .time_source(FixedTime)
            // It measures the throughput of bodies, and these are there at once.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .build()
    }

    /// The shards of a table's stream.
    pub fn shards(&self, table: &str) -> Shards {
        self.parts.streams.shards(table)
    }

    /// The time here.
    pub fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }

    fn call_of(&self, request: &HttpRequest) -> Call {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let (service, name) = target.split_once('.').unwrap_or_default();
        let body = request.body().bytes().unwrap_or_default();
        Call {
            name: name.to_owned(),
            request: serde_json::from_slice(body).unwrap_or_default(),
            is_streams: service.starts_with("DynamoDBStreams"),
            parts: Arc::clone(&self.parts),
        }
    }
}

fn new_region() -> Region {
    static STARTED: AtomicU64 = AtomicU64::new(0);
    Region::new(format!("wire-{}", STARTED.fetch_add(1, Ordering::Relaxed)))
}

impl Call {
    /// Carries the call out. Between its beginning and its end nothing else happens to the tables.
    ///
    /// # Panics
    /// When the stream front cannot read the embedded database.
    pub async fn carry_out(&self) -> Answer {
        // Nothing here waits for time to pass, so this is also when the tables are read.
        let made_at = Some(self.parts.clock.now());
        Answer { made_at, ..self.answer().await }
    }

    async fn answer(&self) -> Answer {
        let Self { name, request, parts, .. } = self;
        if self.is_streams {
            return match parts.streams.answer(name, request).await.expect("the embedded database answers") {
                Ok(answer) => Answer::of(200, answer.to_string()),
                Err(refusal) => Answer::refusal(400, refusal.code, json!({ "message": refusal.message })),
            };
        }
        if let Err(exceeded) = limits::check(name, request) {
            return Answer::refusal(400, "ValidationException", json!({ "message": exceeded.to_string() }));
        }
        let (status, mut body) = embedded::answer(&parts.database, name, &request.to_string());
        if name == "DescribeTable" && status == 200 {
            let mut description: Value = serde_json::from_str(&body).expect("the embedded database answers in JSON");
            // As the streams' own: see `Origin`.
            description["Table"]["CreationDateTime"] = parts.clock.starts_at.as_second().into();
            parts.streams.describe_in(&mut description["Table"]).await.expect("the embedded database answers");
            body = description.to_string();
        }
        Answer::of(status, body)
    }
}

impl Answer {
    /// A refusal of DynamoDB's.
    pub fn refusal(status: u16, code: &str, mut detail: Value) -> Self {
        detail["__type"] = format!("com.amazonaws.dynamodb.v20120810#{code}").into();
        Self::of(status, detail.to_string())
    }

    fn of(status: u16, body: String) -> Self {
        Self { status, body, made_at: None }
    }
}

impl HttpClient for Wire {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Wire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (answering, clock) = ((self.hook)(self.call_of(&request)), self.parts.clock);
        HttpConnectorFuture::new(async move {
            let Answer { status, body, made_at } = answering.await.map_err(|lost| ConnectorError::io(lost.into()))?;
            let status = status.try_into().map_err(|error| ConnectorError::other(Box::new(error), None))?;
            let mut response = HttpResponse::new(status, SdkBody::from(body));
            response.headers_mut().insert("content-type", "application/x-amz-json-1.0");
            response.headers_mut().insert("date", date(made_at.unwrap_or_else(|| clock.now())));
            Ok(response)
        })
    }
}

/// As HTTP has it: in whole seconds, rounded down.
fn date(instant: Timestamp) -> String {
    DateTimePrinter::new().timestamp_to_rfc9110_string(&instant).expect("an instant of a test")
}

impl VirtualClock {
    fn now(&self) -> Timestamp {
        let passed = SignedDuration::try_from(self.since.elapsed()).expect("a span of a test");
        self.starts_at + passed
    }
}

impl dynoxide::storage_backend::Clock for VirtualClock {
    fn now_unix_secs(&self) -> u64 {
        u64::try_from(self.now().as_second()).unwrap_or(0)
    }

    fn now_unix_secs_f64(&self) -> f64 {
        self.now().as_duration().as_secs_f64()
    }
}

/// The time that signatures bear; nobody checks them.
#[derive(Debug)]
struct FixedTime;

impl TimeSource for FixedTime {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600)
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("streams", &self.parts.streams).finish_non_exhaustive()
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("name", &self.name).field("request", &self.request).finish_non_exhaustive()
    }
}
