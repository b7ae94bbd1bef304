//! What is sent by OTLP, to a real receiver over HTTP: traces, metrics and logs, and what becomes of a process whose collector is
//! slow, gone, or not wanted. The process is `tidemark dev`: both workloads, with sample data that fires alerts.

use std::collections::BTreeSet;
use std::time::Duration;

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::{Value, json};
use tidemark_runtime::telemetry::FLUSH_MAX;
use tidemark_tests::collector::{Collected, Log, Span};
use tidemark_tests::deployment::DEADLINE;
use tidemark_tests::policy::Part;
use tidemark_tests::{Collector, Deployment, Fault, When, Workload, wait_until};

use super::pod::variables;
use super::process::{Ended, Process, ask, free_port, http, run, since_yesterday};

/// A busy machine gets so much time to end a process that has nothing to wait for.
const SLACK: Duration = Duration::from_secs(15);
/// Everything is sent soon, so that a test need not wait for it.
const SOON: [(&str, &str); 3] =
    [("OTEL_BSP_SCHEDULE_DELAY", "100"), ("OTEL_BLRP_SCHEDULE_DELAY", "100"), ("OTEL_METRIC_EXPORT_INTERVAL", "300")];
const SHOP: &str = include_str!("../api/shop.yaml");
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// A caller's span, and the header that names it.
const CALLER: (&str, &str) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// A `tidemark dev` with some variables, and where it answers.
struct Dev {
    process: Process,
    said: Value,
}

impl Dev {
    async fn start(variables: &[(&'static str, &str)]) -> Self {
        let arguments = ["dev", "--json", "--port", "0", "--dynamodb-port", "0"];
        let mut process = Process::spawn("tidemark", &arguments, &[&SOON, variables].concat());
        let said = serde_json::from_str(&process.first_line().await).unwrap();
        Self { process, said }
    }

    fn text(&self, field: &str) -> &str {
        self.said[field].as_str().unwrap_or_else(|| panic!("{field}: {}", self.said))
    }

    fn key(&self) -> &str {
        self.said["keys"]["acme"].as_str().unwrap()
    }

    fn values_url(&self) -> String {
        format!("{}/v1/metrics/sales/values?{}", self.text("api_url"), since_yesterday())
    }

    async fn stop(self, within: Duration) -> Ended {
        self.process.signal("-TERM").await;
        let ended = self.process.ended(within).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended
    }
}

/// A span of ours, by its name.
fn named<'a>(collected: &'a Collected, name: &str) -> impl Iterator<Item = &'a Span> {
    collected.spans.iter().filter(move |span| span.name == name)
}

#[tokio::test]
async fn a_request_is_one_trace_from_its_caller_to_the_calls_of_dynamodb() {
    const SERVED: &str = "GET /v1/metrics/{metric}/values";
    let collector = Collector::start().await;
    // The log of the SDK speaks within the request, of whatever level.
    let variables = [(ENDPOINT, collector.endpoint()), ("RUST_LOG", "info,aws_smithy_runtime=debug".to_owned())];
    let dev = Dev::start(&variables.each_ref().map(|(name, value)| (*name, value.as_str()))).await;
    let request = http().get(dev.values_url()).bearer_auth(dev.key()).header("traceparent", TRACEPARENT);
    let answer = request.header("x-request-id", "of-this-test").send().await.unwrap();
    assert_eq!(answer.status(), 200);

    let collected = collector.until("the request's span", |collected| collected.span_of_caller(SERVED).is_some()).await;
    let server = collected.span_of_caller(SERVED).unwrap();
    assert_eq!((server.parent.as_str(), server.kind, server.events), (CALLER.1, SpanKind::Server, 0));
    let expected = [
        ("http.request.method", "GET"),
        ("http.route", "/v1/metrics/{metric}/values"),
        ("http.response.status_code", "200"),
        ("url.scheme", "http"),
        ("tidemark.request.id", "of-this-test"),
    ];
    for (name, value) in expected {
        assert_eq!(server.attributes.get(name).map(String::as_str), Some(value), "{name}: {server:?}");
    }
    assert_eq!(server.resource.get("service.name").map(String::as_str), Some("tidemark-dev"));
    assert!(["service.version", "service.instance.id"].iter().all(|name| server.resource.contains_key(*name)), "{server:?}");
    // The key is looked up, the watermark and the rows are read.
    let calls: Vec<&Span> = collected.children(server).filter(|span| span.name.starts_with("DynamoDB.")).collect();
    assert!(calls.iter().all(|call| call.kind == SpanKind::Client), "{calls:?}");
    assert!(calls.iter().any(|call| call.name == "DynamoDB.Query"), "{:?}", collected.of_trace(CALLER.0));

    let is_of_it = |log: &Log| log.trace == CALLER.0 && !log.span.is_empty();
    collector.until("a log of the request", |collected| collected.logs.iter().any(is_of_it)).await;
    let lines = dev.process.stderr();
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"));
    let (of_it, others): (Vec<Value>, Vec<Value>) = lines.partition(|line| line["trace_id"] == CALLER.0);
    assert!(of_it.iter().any(|line| line["span_id"] == server.id.as_str()), "{} lines of the trace", of_it.len());
    assert!(others.iter().any(|line| line.get("trace_id").is_none()), "what happens outside of a trace has no id");
    // Probes and `/metrics` are no requests, and calls outside of a trace are no traces.
    http().get(format!("{}/metrics", dev.text("admin_url"))).send().await.unwrap();
    dev.stop(FLUSH_MAX + SLACK).await;
    let collected = collector.collected();
    let lonely = |span: &&Span| span.parent.is_empty() && (span.name.starts_with("DynamoDB") || span.name.contains("GET"));
    assert_eq!(collected.spans.iter().find(lonely), None);
}

#[tokio::test]
async fn a_webhook_attempt_links_to_the_commit_that_brought_it_about() {
    let collector = Collector::start().await;
    let mut dev = Dev::start(&[(ENDPOINT, &collector.endpoint())]).await;
    dev.process.until_logged("a webhook arrived").await;
    let told = |collected: &Collected| {
        let attempt = named(collected, "webhook attempt").next()?.clone();
        let [(trace, span)] = &attempt.links[..] else { panic!("one link: {attempt:?}") };
        let commit = collected.span(trace, span)?.clone();
        let batch = collected.span(&commit.trace, &commit.parent)?.clone();
        Some([attempt, commit, batch])
    };
    let collected = collector.until("an attempt and what it links to", |collected| told(collected).is_some()).await;
    let [attempt, commit, batch] = told(&collected).unwrap();
    assert_eq!((attempt.kind, attempt.parent.as_str()), (SpanKind::Client, ""));
    assert_ne!(attempt.trace, commit.trace, "linked, not a child: it may be made days later");
    for (name, value) in
        [("server.address", "127.0.0.1"), ("tidemark.webhook.attempt", "1"), ("http.response.status_code", "204")]
    {
        assert_eq!(attempt.attributes.get(name).map(String::as_str), Some(value), "{name}: {attempt:?}");
    }
    assert!(attempt.attributes["tidemark.webhook.id"].starts_with("evt_"), "{attempt:?}");
    assert_eq!((commit.name.as_str(), commit.kind), ("commit", SpanKind::Internal));
    assert_eq!(commit.attributes.get("tidemark.outcome").map(String::as_str), Some("committed"), "{commit:?}");
    assert_eq!((batch.kind, batch.parent.as_str()), (SpanKind::Consumer, ""));
    assert_eq!(batch.name, format!("process {}", batch.attributes["messaging.destination.name"]));
    assert!(batch.attributes["messaging.batch.message_count"].parse::<usize>().unwrap() >= 1, "{batch:?}");
    assert!(collected.children(&commit).any(|call| call.name == "DynamoDB.TransactWriteItems"), "{commit:?}");
    // No attribute has the name of a tenant in it. What is generated has no lower-case word in it by chance: ULIDs, hexadecimal.
    let tenants: Vec<&String> = dev.said["keys"].as_object().unwrap().keys().collect();
    let is_named = |value: &String| tenants.iter().any(|tenant| value.contains(tenant.as_str()));
    assert_eq!(collected.spans.iter().find(|span| span.attributes.values().any(is_named)), None);
}

#[tokio::test]
async fn metrics_are_sent_under_the_names_that_metrics_shows() {
    let collector = Collector::start().await;
    let dev = Dev::start(&[(ENDPOINT, &collector.endpoint())]).await;
    ask(&dev.values_url(), dev.key()).await;
    let shown = http().get(format!("{}/metrics", dev.text("admin_url"))).send().await.unwrap().text().await.unwrap();
    let families = shown.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let families: BTreeSet<&str> = families.filter(|name| *name != "target_info").collect();
    assert!(families.len() > 5, "{shown}");
    // Prometheus has units and kinds at the end of its names, and no dots.
    let is_shown = |family: &str, name: &str| family.starts_with(&name.replace('.', "_"));
    let collected = collector
        .until("every family of /metrics", |collected| {
            families.iter().all(|family| collected.metrics.iter().any(|name| is_shown(family, name)))
        })
        .await;
    assert!(collected.metrics.contains("http.server.request.duration"), "{:?}", collected.metrics);
}

#[tokio::test]
async fn a_silent_collector_keeps_no_process_longer_than_a_flush_may_take() {
    let collector = Collector::silent().await;
    // An export of this one would take as long as that, and so would a process that waited for it.
    let dev = Dev::start(&[(ENDPOINT, &collector.endpoint()), ("OTEL_EXPORTER_OTLP_TIMEOUT", "120000")]).await;
    ask(&dev.values_url(), dev.key()).await;
    wait_until("something to be sent", DEADLINE, async || collector.collected().requests > 0).await;
    let stopped = std::time::Instant::now();
    let ended = dev.stop(FLUSH_MAX + SLACK).await;
    println!("ended after {:?}", stopped.elapsed());
    assert!(ended.stderr.contains("the last telemetry was not"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_dead_collector_costs_a_line_for_each_signal() {
    let nobody = format!("http://127.0.0.1:{}", free_port().await);
    let mut dev = Dev::start(&[(ENDPOINT, &nobody)]).await;
    let line = dev.process.until_logged("telemetry cannot be sent, and what there is of it is lost").await;
    assert!(line["cause"].as_str().unwrap().contains("refused"), "{line}");
    // Many exports fail meanwhile: metrics every 300 ms, the rest sooner.
    dev.process.until_logged("a webhook arrived").await;
    ask(&dev.values_url(), dev.key()).await;
    let ended = dev.stop(FLUSH_MAX + SLACK).await;
    let of_it = ended.stderr.lines().filter(|line| line.contains("telemetry") || line.contains("xport"));
    let of_it: Vec<&str> = of_it.filter(|line| !line.contains("the last telemetry was not")).collect();
    assert!((1..=3).contains(&of_it.len()), "{of_it:#?}");
}

#[tokio::test]
async fn nothing_is_sent_where_it_is_switched_off_and_what_cannot_be_used_is_told_at_the_start() {
    let collector = Collector::start().await;
    let endpoint = collector.endpoint();
    let off = Dev::start(&[(ENDPOINT, &endpoint), ("OTEL_SDK_DISABLED", "true")]).await;
    ask(&off.values_url(), off.key()).await;
    let ended = off.stop(SLACK).await;
    assert!(!ended.stderr.contains("trace_id"), "{}", ended.stderr);
    let variables =
        [(ENDPOINT, "collector:4318"), ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "::"), ("OTEL_LOGS_EXPORTER", "console")];
    let wrong = Dev::start(&variables).await;
    ask(&wrong.values_url(), wrong.key()).await;
    let ended = wrong.stop(SLACK).await;
    for told in [
        "OTEL_EXPORTER_OTLP_ENDPOINT: is no URL",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: is no URL",
        "OTEL_LOGS_EXPORTER: `console` is not known",
    ] {
        assert_eq!(ended.stderr.matches(told).count(), 1, "{told}: {}", ended.stderr);
    }
    assert_eq!(collector.collected().requests, 0);
}

#[tokio::test]
async fn one_signal_may_be_sent_without_the_others_and_grpc_becomes_http() {
    let collector = Collector::start().await;
    let endpoint = collector.endpoint();
    let none = [("OTEL_TRACES_EXPORTER", "none"), ("OTEL_LOGS_EXPORTER", "none"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")];
    let dev = Dev::start(&[&[(ENDPOINT, endpoint.as_str())], &none[..]].concat()).await;
    collector.until("metrics", |collected| !collected.metrics.is_empty()).await;
    ask(&dev.values_url(), dev.key()).await;
    let ended = dev.stop(FLUSH_MAX + SLACK).await;
    assert_eq!(ended.stderr.matches("`grpc` is not spoken; http/protobuf is used instead").count(), 1, "{}", ended.stderr);
    let collected = collector.collected();
    assert_eq!((collected.spans, collected.logs), (vec![], vec![]));
}

#[tokio::test]
async fn a_workload_names_itself_and_what_it_fails_at_while_a_clients_mistake_is_no_error() {
    let (deployment, collector) = (Deployment::start(SHOP).await, Collector::start().await);
    let key = deployment.key_of("acme").await;
    let (_folder, mut api) = spawn("tidemark-api", &deployment, &collector, &[]);
    let api_url = format!("http://{}", api.until_logged("the API listens").await["addr"].as_str().unwrap());
    let get = async |path: &str| http().get(format!("{api_url}{path}")).bearer_auth(&key).send().await.unwrap().status();
    wait_until("the API to answer", DEADLINE, async || get("/v1/metrics").await == 200).await;
    assert_eq!(get("/v1/nothing/of/the/kind").await, 404);
    deployment.world.front().fault("Query", When::Matching(Box::new(|_| true)), Fault::ServerError);
    let failed = get("/v1/alert-rules").await;
    assert!(failed.is_server_error(), "{failed}");

    let is_failed = |span: &&Span| span.name == "GET /v1/alert-rules";
    let collected = collector.until("the failure", |collected| collected.spans.iter().any(|span| is_failed(&span))).await;
    let server = collected.spans.iter().find(is_failed).unwrap();
    assert_eq!(server.resource["service.name"], "tidemark-api");
    assert_eq!(server.attributes["error.type"], failed.as_str());
    assert!(collected.children(server).any(|call| call.attributes.contains_key("error.type")), "{server:?}");
    let lost = collected.spans.iter().find(|span| span.name == "GET").expect("a request without a route");
    assert_eq!(lost.attributes["http.response.status_code"], "404");
    assert!(!lost.attributes.contains_key("error.type") && !lost.attributes.contains_key("http.route"), "{lost:?}");
}

#[tokio::test]
async fn why_a_process_fails_is_one_log_record_and_one_line_for_people() {
    let deployment = Deployment::start(SHOP).await;
    deployment.world.front().take_away(Workload::Ingest, &Part::action("Tables", "dynamodb:DescribeTable"));
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let cases = [
        ("tidemark-ingest", ("RUST_LOG", "info"), 1, "perform: dynamodb:DescribeTable on resource"),
        ("tidemark-ingest", ("TIDEMARK_ADMIN_ADDR", &taken), 1, "set TIDEMARK_ADMIN_ADDR"),
        ("tidemark-ingest", ("TIDEMARK_DEFINITIONS", "no/such.yaml"), 2, "no/such.yaml cannot be read"),
        ("tidemark-api", ("TIDEMARK_DEFINITIONS", "no/such.yaml"), 2, "no/such.yaml cannot be read"),
        ("tidemark-api", ("TIDEMARK_API_ADDR", &taken), 1, "set TIDEMARK_API_ADDR"),
    ];
    for (workload, variable, code, cause) in cases {
        let collector = Collector::start().await;
        let (_folder, process) = spawn(workload, &deployment, &collector, &[variable]);
        let ended = process.ended(DEADLINE).await;
        assert_failure_sent(&ended, &collector, (workload, code, cause));
    }
    let (collector, port) = (Collector::start().await, taken.rsplit(':').next().unwrap());
    let variables = [(ENDPOINT, collector.endpoint())];
    let ended = run("tidemark", &["dev", "--port", port, "--dynamodb-port", "0"], &variables).await;
    assert_failure_sent(&ended, &collector, ("tidemark-dev", 1, "set --port"));
}

fn assert_failure_sent(ended: &Ended, collector: &Collector, (service, code, cause): (&str, i32, &str)) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    let collected = collector.collected();
    let failures: Vec<&Log> = collected.logs.iter().filter(|log| log.body == "the process failed").collect();
    let [failure] = failures[..] else { panic!("one record of {service}: {failures:?}, {ended:?}") };
    assert_eq!((&*failure.resource["service.name"], &failure.attributes["process.exit.code"]), (service, &code.to_string()));
    let error = &failure.attributes["error"];
    assert!(error.contains(cause), "{error}");
    assert_eq!(ended.told(), [format!("error: {error}")]);
    assert!(!ended.stderr.contains(&failure.body), "it is told twice: {}", ended.stderr);
}

#[tokio::test]
async fn a_commit_that_is_given_up_is_an_error_of_its_own_span() {
    let (deployment, collector) = (Deployment::start(SHOP).await, Collector::start().await);
    let (_folder, _ingest) = spawn("tidemark-ingest", &deployment, &collector, &[]);
    let order = |id: &str| {
        let now = tidemark_runtime::clock::now().to_string();
        json!({ "id": {"S": id}, "order_date": {"S": now}, "quantity": {"N": "1"} })
    };
    deployment.put("Orders", order("o1")).await;
    // A first batch writes more than its commit, and would be refused that already.
    collector.until("a commit", |collected| named(collected, "commit").next().is_some()).await;
    deployment.world.front().take_away(Workload::Ingest, &Part::action("Update", "dynamodb:UpdateItem"));
    deployment.put("Orders", order("o2")).await;
    let is_given_up = |span: &Span| span.attributes.get("error.type").is_some_and(|kind| kind == "commit_failed");
    collector.until("the commit", |collected| named(collected, "commit").any(is_given_up)).await;
}

#[tokio::test]
async fn a_worker_that_drains_before_a_silent_collector_ends_in_time_and_well() {
    let (deployment, collector) = (Deployment::start(SHOP).await, Collector::silent().await);
    let (_folder, mut ingest) = spawn("tidemark-ingest", &deployment, &collector, &[("OTEL_EXPORTER_OTLP_TIMEOUT", "120000")]);
    ingest.until_logged("probes and metrics are answered").await;
    wait_until("something to be sent", DEADLINE, async || collector.collected().requests > 0).await;
    ingest.signal("-TERM").await;
    assert_eq!(ingest.ended(FLUSH_MAX + SLACK).await.code, Some(0));
}

/// A workload with its definitions in a folder, and a collector.
fn spawn(
    workload: &str,
    deployment: &Deployment,
    collector: &Collector,
    more: &[(&'static str, &str)],
) -> (tempfile::TempDir, Process) {
    let folder = tempfile::tempdir().unwrap();
    let definitions = folder.path().join("shop.yaml");
    std::fs::write(&definitions, SHOP).unwrap();
    let mut variables = variables(deployment, &definitions);
    variables.push((ENDPOINT, collector.endpoint()));
    variables.extend(SOON.iter().chain(more).map(|(name, value)| (*name, (*value).to_owned())));
    (folder, Process::spawn(workload, &[], &variables))
}

/// What has come of the caller's trace.
trait OfTrace {
    fn of_trace(&self, trace: &str) -> Vec<&Span>;
    fn span_of_caller(&self, name: &str) -> Option<&Span>;
}

impl OfTrace for Collected {
    fn of_trace(&self, trace: &str) -> Vec<&Span> {
        self.spans.iter().filter(|span| span.trace == trace).collect()
    }

    fn span_of_caller(&self, name: &str) -> Option<&Span> {
        self.spans.iter().find(|span| span.trace == CALLER.0 && span.name == name)
    }
}
