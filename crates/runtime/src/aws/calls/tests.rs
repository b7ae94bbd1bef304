//! Calls by the real SDK to a DynamoDB that answers from a list.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Mutex;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::put_item::builders::PutItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};
use serde_json::{Value, json};
use tracing::Dispatch;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{DefaultGuard, NoSubscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use super::*;

/// A DynamoDB that gives these answers, one an attempt, and keeps what it was asked; with none left it never answers.
#[derive(Debug, Clone, Default)]
struct Script(Arc<Mutex<Exchanges>>);

#[derive(Debug, Default)]
struct Exchanges {
    answers: VecDeque<(u16, Value)>,
    asked: Vec<Value>,
}

impl HttpConnector for Script {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let mut script = self.0.lock().unwrap();
        script.asked.push(serde_json::from_slice(request.body().bytes().unwrap()).unwrap());
        let Some((status, body)) = script.answers.pop_front() else {
            return HttpConnectorFuture::new(std::future::pending());
        };
        let mut response = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body.to_string()));
        response.headers_mut().insert("x-amzn-requestid", format!("REQUEST-{}", script.asked.len()));
        HttpConnectorFuture::ready(Ok(response))
    }
}

/// A client of a script, with what it measures.
struct Measured {
    client: Client,
    script: Script,
    registry: Registry,
    _meters: SdkMeterProvider,
}

impl Measured {
    fn new(answers: impl IntoIterator<Item = (u16, Value)>) -> Self {
        let registry = Registry::new();
        let exporter =
            opentelemetry_prometheus::exporter().with_registry(registry.clone()).scope_info_enabled(false).build().unwrap();
        let meters = SdkMeterProvider::builder().with_reader(exporter).build();
        let script = Script::default();
        script.0.lock().unwrap().answers.extend(answers);
        let connector = SharedHttpConnector::new(script.clone());
        let aws = super::super::at_endpoint("http://dynamodb.invalid", "test").into_builder();
        let aws = aws.http_client(http_client_fn(move |_, _| connector.clone())).build();
        let config = aws_sdk_dynamodb::config::Builder::from(&aws).interceptor(Calls::new(&meters.meter("tests")));
        Self { client: Client::from_conf(config.build()), script, registry, _meters: meters }
    }

    fn put(&self) -> PutItemFluentBuilder {
        self.client.put_item().table_name("tidemark").item("pk", AttributeValue::S("T#acme".to_owned()))
    }

    /// Sends a transaction, which must fail.
    async fn transact(&self) {
        let put = Put::builder().table_name("tidemark").item("pk", AttributeValue::S("a".to_owned())).build().unwrap();
        let transaction = self.client.transact_write_items().transact_items(TransactWriteItem::builder().put(put).build());
        transaction.send().await.unwrap_err();
    }

    /// The lines of `/metrics` that begin so, sorted.
    fn lines(&self, prefix: &str) -> Vec<String> {
        let text = TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap();
        text.lines().filter(|line| line.starts_with(prefix)).map(str::to_owned).collect()
    }
}

fn refusal(code: &str) -> (u16, Value) {
    (400, json!({ "__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": "no" }))
}

fn cancelled(reasons: &[&str]) -> (u16, Value) {
    let (status, mut body) = refusal("TransactionCanceledException");
    body["CancellationReasons"] = reasons.iter().map(|code| json!({ "Code": code })).collect();
    (status, body)
}

fn written(units: f64) -> (u16, Value) {
    (200, json!({ "ConsumedCapacity": { "TableName": "tidemark", "CapacityUnits": units } }))
}

#[tokio::test(start_paused = true)]
async fn an_operation_is_measured_once_and_its_throttled_attempts_each() {
    let throttled = refusal("ProvisionedThroughputExceededException");
    let measured = Measured::new([throttled.clone(), throttled, written(2.5)]);
    measured.put().send().await.unwrap();
    let of = r#"db_collection_name="tidemark",db_operation_name="PutItem""#;
    let duration = measured.lines("db_client_operation_duration_seconds_count");
    assert_eq!(duration, [format!(r#"db_client_operation_duration_seconds_count{{{of},db_system_name="aws.dynamodb"}} 1"#)]);
    let throttles = format!(r#"tidemark_dynamodb_throttles_total{{{of},resource="unknown"}} 2"#);
    assert_eq!(measured.lines("tidemark_dynamodb_throttles_total"), [throttles]);
    let capacity = r#"tidemark_dynamodb_consumed_capacity_total{db_collection_name="tidemark",kind="write"} 2.5"#;
    assert_eq!(measured.lines("tidemark_dynamodb_consumed_capacity_total"), [capacity]);
    let asked = &measured.script.0.lock().unwrap().asked;
    assert!(asked.iter().all(|request| request["ReturnConsumedCapacity"] == "TOTAL"), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_transaction_is_judged_by_its_reasons() {
    let both = cancelled(&["None", "TransactionConflict", "ThrottlingError"]);
    let measured = Measured::new([cancelled(&["None", "ConditionalCheckFailed"]), both]);
    for _ in 0..2 {
        measured.transact().await;
    }
    let throttles = r#"tidemark_dynamodb_throttles_total{db_operation_name="TransactWriteItems",resource="unknown"} 1"#;
    assert_eq!(measured.lines("tidemark_dynamodb_throttles_total"), [throttles]);
    let conflicts = r#"tidemark_dynamodb_conflicts_total{db_operation_name="TransactWriteItems"} 1"#;
    assert_eq!(measured.lines("tidemark_dynamodb_conflicts_total"), [conflicts]);
    let failed = measured.lines("db_client_operation_duration_seconds_count");
    assert!(failed.iter().all(|line| line.contains(r#"error_type="TransactionCanceledException"} 2"#)), "{failed:?}");
}

/// A throttle with such reasons, which each exception spells in its own way (the SDK's deserializers of the three).
fn throttle(code: &str, reasons: &[&str]) -> (u16, Value) {
    let (status, mut body) = refusal(code);
    let name = if code == "ThrottlingException" { "throttlingReasons" } else { "ThrottlingReasons" };
    let index = "arn:aws:dynamodb:eu-central-1:111122223333:table/tidemark/index/by_index";
    body[name] = reasons.iter().map(|reason| json!({ "reason": reason, "resource": index })).collect();
    (status, body)
}

#[tokio::test(start_paused = true)]
async fn a_throttle_is_counted_by_the_resource_that_was_at_its_limit() {
    let (status, mut indexes) = refusal("ProvisionedThroughputExceededException");
    indexes["message"] = "The level of configured provisioned throughput for one or more global secondary indexes of the table \
                          was exceeded."
        .into();
    let cases = [
        (throttle("ThrottlingException", &["IndexWriteKeyRangeThroughputExceeded"]), "index"),
        (throttle("ProvisionedThroughputExceededException", &["IndexReadProvisionedThroughputExceeded"]), "index"),
        (
            throttle("ThrottlingException", &["TableWriteKeyRangeThroughputExceeded", "IndexWriteMaxOnDemandThroughputExceeded"]),
            "index",
        ),
        ((status, indexes), "index"),
        (throttle("ThrottlingException", &["TableWriteKeyRangeThroughputExceeded"]), "table"),
        (throttle("ProvisionedThroughputExceededException", &["TableReadProvisionedThroughputExceeded"]), "table"),
        (throttle("RequestLimitExceeded", &["IndexWriteAccountLimitExceeded"]), "account"),
        (refusal("RequestLimitExceeded"), "account"),
        (throttle("ThrottlingException", &["AnotherResourceThroughputExceeded"]), "unknown"),
        (throttle("ThrottlingException", &[]), "unknown"),
        (refusal("ThrottlingException"), "unknown"),
        // The streams'.
        (refusal("LimitExceededException"), "unknown"),
    ];
    for (answer, resource) in cases {
        let what = answer.1.to_string();
        let measured = Measured::new([answer, written(1.0)]);
        measured.put().send().await.ok();
        let of = r#"db_collection_name="tidemark",db_operation_name="PutItem""#;
        let throttles = format!(r#"tidemark_dynamodb_throttles_total{{{of},resource="{resource}"}} 1"#);
        assert_eq!(measured.lines("tidemark_dynamodb_throttles_total"), [throttles], "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_transaction_that_an_index_throttles_is_recognised_by_its_message() {
    let with_message = |message: &str| {
        let (status, mut body) = cancelled(&["None", "ThrottlingError"]);
        body["CancellationReasons"][1]["Message"] = message.into();
        (status, body)
    };
    let of_table =
        "Throughput exceeds the current capacity of your table or index. DynamoDB is automatically scaling your table or index";
    let of_index =
        "Throughput exceeds the current capacity for one or more global secondary indexes. DynamoDB is automatically scaling";
    let measured = Measured::new([with_message(of_table), with_message(of_index)]);
    for _ in 0..2 {
        measured.transact().await;
    }
    let line = |resource| {
        format!(r#"tidemark_dynamodb_throttles_total{{db_operation_name="TransactWriteItems",resource="{resource}"}} 1"#)
    };
    assert_eq!(measured.lines("tidemark_dynamodb_throttles_total"), [line("index"), line("unknown")]);
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_never_ends_is_measured_when_it_is_given_up() {
    let measured = Measured::new([]);
    measured.put().send().await.unwrap_err();
    tokio::time::timeout(std::time::Duration::from_secs(1), measured.put().send()).await.unwrap_err();
    let counts = measured.lines("db_client_operation_duration_seconds_count");
    assert!(counts[0].contains(r#"error_type="abandoned"} 1"#) && counts[1].contains(r#"error_type="timeout"} 1"#), "{counts:?}");
}

/// Every span there was.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<Seen>>>);

#[derive(Debug)]
struct Seen {
    id: Id,
    parent: Option<&'static str>,
    fields: Vec<String>,
}

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let parent = context.span(id).and_then(|span| span.parent()).map(|parent| parent.name());
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        self.0.lock().unwrap().push(Seen { id: id.clone(), parent, fields: fields.0 });
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        let mut spans = self.0.lock().unwrap();
        let span = spans.iter_mut().rev().find(|span| span.id == *id).unwrap();
        let mut fields = Fields(std::mem::take(&mut span.fields));
        values.record(&mut fields);
        span.fields = fields.0;
    }
}

#[derive(Default)]
struct Fields(Vec<String>);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push(format!("{field}={value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.push(format!("{field}={value:?}"));
    }
}

impl Spans {
    /// The spans of this thread, as long as the rest is kept. While there is only one subscriber in the process, `tracing` lets a thread
    /// without it decide whether a callsite that the thread meets first is on. The other tests' threads would turn ours off, so there are two.
    fn seen() -> (Self, (Dispatch, DefaultGuard)) {
        let second = Dispatch::new(NoSubscriber::default());
        let spans = Self::default();
        let ours = tracing_subscriber::filter::Targets::new().with_target("tidemark_runtime", tracing::Level::INFO);
        let guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(spans.clone().with_filter(ours)));
        (spans, (second, guard))
    }
}

#[tokio::test(start_paused = true)]
async fn an_operation_is_one_span_under_its_callers() {
    use tracing::Instrument;

    let (spans, _guard) = Spans::seen();
    let measured = Measured::new([refusal("ThrottlingException"), written(1.0), refusal("ConditionalCheckFailedException")]);
    let callers = async {
        measured.put().send().await.unwrap();
        measured.put().send().await.unwrap_err();
    };
    callers.instrument(tracing::info_span!(target: "tidemark_runtime", "commit")).await;
    let seen = spans.0.lock().unwrap();
    let [_, succeeded, failed] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!([succeeded.parent, failed.parent], [Some("commit"); 2]);
    let always = [
        "otel.name=DynamoDB.PutItem",
        "otel.kind=client",
        "db.system.name=aws.dynamodb",
        "db.operation.name=PutItem",
        "db.collection.name=tidemark",
    ];
    let succeeds = [&always[..], &["aws.request_id=REQUEST-1", "aws.request_id=REQUEST-2"]].concat();
    assert_eq!(succeeded.fields, succeeds);
    let fails =
        [&always[..], &["aws.request_id=REQUEST-3", "otel.status_code=ERROR", "error.type=ConditionalCheckFailedException"]]
            .concat();
    assert_eq!(failed.fields, fails);
}
