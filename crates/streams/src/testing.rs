//! What the tests run against: an embedded emulator behind the real SDK, and a scripted DynamoDB Streams.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider};
use aws_sdk_dynamodb::types::{AttributeValue, StreamSpecification};
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use aws_types::SdkConfig;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::client::Streams;
use crate::control::key::Key;
use crate::control::shard::ShardItem;
use crate::error::Error;
use crate::id::{ShardId, StreamArn, StreamId};
use crate::lease::HeldShard;
use crate::source::{SourceStream, Start};
use crate::worker::{Worker, WorkerConfig};

/// The lease TTL of the tests' workers. Silence is judged by the instants the tests pass, so nobody waits for it.
pub(crate) const TTL: Duration = Duration::from_secs(15);

pub(crate) fn config(endpoint: &str) -> SdkConfig {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(endpoint)
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new("test", "test", None, None, "test")))
        .build()
}

/// An instant of the tests' wall clock.
pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

pub(crate) fn shard_id(text: &str) -> ShardId {
    ShardId::new(text).unwrap()
}

impl Streams {
    pub(crate) async fn shard(&self, stream: &StreamId, shard: &ShardId) -> Result<Option<ShardItem>, Error> {
        let item = self.get(Key::shard(stream, shard)).await?;
        item.map(|item| ShardItem::of_item(&item).map_err(Error::from)).transpose()
    }
}

/// DynamoDB with a control table, in memory; gone when dropped.
pub(crate) struct Emulator {
    pub(crate) streams: Streams,
    _server: JoinSet<()>,
}

impl Emulator {
    pub(crate) async fn empty() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let mut server = JoinSet::new();
        server.spawn(dynoxide::server::serve_on(listener, dynoxide::Database::memory().unwrap()));
        Self { streams: Streams::new(&config(&endpoint), "control".to_owned()), _server: server }
    }

    pub(crate) async fn start() -> Self {
        let emulator = Self::empty().await;
        emulator.streams.create_control_table().await.unwrap();
        emulator
    }

    /// A table `Orders` with its stream.
    pub(crate) async fn orders(&self) -> SourceStream {
        self.streams.create_source_table("Orders", "id", None).await.unwrap();
        self.streams.describe_source("Orders").await.unwrap()
    }

    /// Switches a table's stream off and, with a view type, on again: it is another stream then.
    pub(crate) async fn set_stream(&self, table: &str, view_type: Option<&str>) {
        let off = StreamSpecification::builder().stream_enabled(false).build().unwrap();
        self.streams.dynamodb.update_table().table_name(table).stream_specification(off).send().await.unwrap();
        if let Some(view_type) = view_type {
            let on = StreamSpecification::builder().stream_enabled(true).stream_view_type(view_type.into()).build().unwrap();
            self.streams.dynamodb.update_table().table_name(table).stream_specification(on).send().await.unwrap();
        }
    }

    pub(crate) async fn renew_stream(&self, table: &str) {
        self.set_stream(table, Some("NEW_AND_OLD_IMAGES")).await;
    }

    pub(crate) async fn put_order(&self, id: &str, quantity: u32) {
        let request = self.streams.dynamodb.put_item().table_name("Orders").item("id", AttributeValue::S(id.to_owned()));
        request.item("quantity", AttributeValue::N(quantity.to_string())).send().await.unwrap();
    }

    /// The same control table, with a scripted stream.
    pub(crate) fn with_stream(&self, stream: &FakeStream) -> Streams {
        Streams { streams: stream.client(), ..self.streams.clone() }
    }
}

pub(crate) async fn worker(streams: &Streams, source: &SourceStream, mono: Instant) -> Worker {
    let config = WorkerConfig { name: "w".to_owned(), lease_ttl: TTL, start: Start::TrimHorizon };
    Worker::start(streams.clone(), config, vec![source.clone()], at(0), mono).await.unwrap()
}

/// The one shard a tick must acquire.
pub(crate) async fn acquire_one(worker: &mut Worker, mono: Instant) -> HeldShard {
    let mut held = worker.tick(at(0), mono).await.unwrap();
    assert_eq!(held.len(), 1, "{held:?}");
    held.remove(0)
}

/// What a scripted stream lists: each shard with its parent.
pub(crate) type Shards = Arc<Mutex<Vec<(&'static str, Option<&'static str>)>>>;

type Answers = Arc<dyn Fn(&str, &Value) -> (u16, Value) + Send + Sync>;

/// DynamoDB Streams as a script: each call (by name and body) gets the answer a function gives. Calls are kept.
#[derive(Clone)]
pub(crate) struct FakeStream {
    answers: Answers,
    calls: Arc<Mutex<Vec<(String, Value)>>>,
}

impl FakeStream {
    pub(crate) fn new(answers: impl Fn(&str, &Value) -> (u16, Value) + Send + Sync + 'static) -> Self {
        Self { answers: Arc::new(answers), calls: Arc::default() }
    }

    /// A stream that only lists: its shards (each with its parent) as they stand in `shards` at each call.
    pub(crate) fn listing(shards: Shards) -> Self {
        Self::new(move |call, _| {
            assert_eq!(call, "DescribeStream");
            let shard = |(id, parent): &(&str, Option<&str>)| json!({"ShardId": id, "ParentShardId": parent});
            let shards: Vec<Value> = shards.lock().unwrap().iter().map(shard).collect();
            (200, json!({"StreamDescription": {"Shards": shards}}))
        })
    }

    pub(crate) fn source() -> SourceStream {
        let arn = StreamArn::new("arn:aws:dynamodb:us-east-1:1:table/Orders/stream/2026-01-02T03:04:05.678").unwrap();
        SourceStream {
            table: "Orders".to_owned(),
            id: arn.id(),
            arn,
            table_created_at: None,
            stream_created_at: None,
            key_attributes: vec!["id".to_owned()],
        }
    }

    pub(crate) fn client(&self) -> aws_sdk_dynamodbstreams::Client {
        self.clients().streams
    }

    /// The script as both services.
    pub(crate) fn clients(&self) -> Streams {
        let connector = SharedHttpConnector::new(self.clone());
        let http = http_client_fn(move |_, _| connector.clone());
        let config = config("http://fake").into_builder().http_client(http).build();
        Streams::new(&config, "control".to_owned())
    }

    /// What the script answers.
    pub(crate) fn answer(&self, call: &str, body: &Value) -> (u16, Value) {
        (self.answers)(call, body)
    }

    /// The calls so far, as `<name>` and body.
    pub(crate) fn calls(&self) -> Vec<(String, Value)> {
        self.calls.lock().unwrap().clone()
    }
}

impl std::fmt::Debug for FakeStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakeStream").finish_non_exhaustive()
    }
}

impl HttpConnector for FakeStream {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").expect("every call has a target");
        let name = target.rsplit_once('.').expect("a service and a call").1.to_owned();
        let body = serde_json::from_slice(request.body().bytes().expect("a body in memory")).expect("JSON");
        let (status, answer) = self.answer(&name, &body);
        self.calls.lock().unwrap().push((name, body));
        let status = status.try_into().expect("a status");
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(answer.to_string()))))
    }
}

/// A refusal as DynamoDB sends it.
pub(crate) fn refusal(code: &str) -> (u16, Value) {
    let status = if code == "InternalServerError" { 500 } else { 400 };
    (status, json!({"__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": "scripted"}))
}
