//! A collector of telemetry on loopback: takes what comes by OTLP (http/protobuf), decodes it with the protocol's own messages, and
//! remembers it. Or one that takes connections and never answers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::{logs, trace};
use prost::Message;
use tokio::task::JoinSet;

use crate::deployment::DEADLINE;
use crate::{server, wait_until};

/// Attributes by their names, each value as text.
type Attributes = BTreeMap<String, String>;

/// A span as it was sent. Ids are in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    pub resource: Attributes,
    pub name: String,
    pub kind: SpanKind,
    pub trace: String,
    pub id: String,
    /// Empty: it is the first of its trace.
    pub parent: String,
    /// Trace and span.
    pub links: Vec<(String, String)>,
    pub attributes: Attributes,
    pub events: usize,
}

/// A log record as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    pub resource: Attributes,
    pub body: String,
    pub attributes: Attributes,
    /// Empty: it belongs to none.
    pub trace: String,
    pub span: String,
}

/// What has come.
#[derive(Debug, Clone, Default)]
pub struct Collected {
    /// Of whatever kind; of a silent collector, connections.
    pub requests: usize,
    pub spans: Vec<Span>,
    pub logs: Vec<Log>,
    /// Names of instruments.
    pub metrics: BTreeSet<String>,
}

/// A running collector. It ends when it is dropped.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    collected: Arc<Mutex<Collected>>,
    _server: JoinSet<()>,
}

impl Collector {
    /// Starts one that takes everything.
    ///
    /// # Panics
    /// When it cannot listen.
    pub async fn start() -> Self {
        let (listener, address) = server::listen().await;
        let collected = Arc::<Mutex<Collected>>::default();
        let (mut server, noted) = (JoinSet::new(), Arc::clone(&collected));
        server.spawn(server::serve(listener, move |request| take(request, Arc::clone(&noted))));
        Self { address, collected, _server: server }
    }

    /// Starts one that takes connections and never says a word.
    ///
    /// # Panics
    /// When it cannot listen.
    pub async fn silent() -> Self {
        let (listener, address) = server::listen().await;
        let collected = Arc::<Mutex<Collected>>::default();
        let (mut server, noted) = (JoinSet::new(), Arc::clone(&collected));
        server.spawn(async move {
            let mut kept = Vec::new();
            loop {
                kept.push(listener.accept().await.expect("a test has file descriptors to spare"));
                lock(&noted).requests += 1;
            }
        });
        Self { address, collected, _server: server }
    }

    /// As `OTEL_EXPORTER_OTLP_ENDPOINT` has it.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn collected(&self) -> Collected {
        lock(&self.collected).clone()
    }

    /// Waits until what has come is as it should be, and gives all of it.
    ///
    /// # Panics
    /// When it does not become so.
    pub async fn until(&self, what: &str, is_there: impl Fn(&Collected) -> bool) -> Collected {
        wait_until(what, DEADLINE, async || is_there(&lock(&self.collected))).await;
        self.collected()
    }
}

impl Collected {
    /// A span by its ids.
    pub fn span(&self, trace: &str, id: &str) -> Option<&Span> {
        self.spans.iter().find(|span| span.trace == trace && span.id == id)
    }

    /// The spans right below one.
    pub fn children<'a>(&'a self, parent: &'a Span) -> impl Iterator<Item = &'a Span> {
        self.spans.iter().filter(move |span| span.trace == parent.trace && span.parent == parent.id)
    }
}

fn lock(collected: &Mutex<Collected>) -> MutexGuard<'_, Collected> {
    collected.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn take(request: Request<Incoming>, collected: Arc<Mutex<Collected>>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (parts, body) = request.into_parts();
    let is_protobuf = parts.headers.get("content-type").is_some_and(|value| value == "application/x-protobuf");
    let body = body.collect().await?.to_bytes();
    let mut collected = lock(&collected);
    collected.requests += 1;
    let taken = is_protobuf.then(|| collected.take(parts.uri.path(), body)).flatten();
    let status = if taken.is_some() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    Ok(Response::builder().status(status).body(Full::default()).expect("a status"))
}

impl Collected {
    /// `None`: it is none of the three, or does not decode.
    fn take(&mut self, path: &str, body: Bytes) -> Option<()> {
        match path {
            "/v1/traces" => {
                for of in ExportTraceServiceRequest::decode(body).ok()?.resource_spans {
                    let spans = of.scope_spans.into_iter().flat_map(|scope| scope.spans);
                    self.spans.extend(spans.map(|span| Span::of(&of.resource, span)));
                }
            }
            "/v1/logs" => {
                for of in ExportLogsServiceRequest::decode(body).ok()?.resource_logs {
                    let logs = of.scope_logs.into_iter().flat_map(|scope| scope.log_records);
                    self.logs.extend(logs.map(|log| Log::of(&of.resource, log)));
                }
            }
            "/v1/metrics" => {
                for of in ExportMetricsServiceRequest::decode(body).ok()?.resource_metrics {
                    let metrics = of.scope_metrics.into_iter().flat_map(|scope| scope.metrics);
                    self.metrics.extend(metrics.map(|metric| metric.name));
                }
            }
            _ => return None,
        }
        Some(())
    }
}

impl Span {
    fn of(resource: &Option<Resource>, span: trace::v1::Span) -> Self {
        Self {
            resource: resource.iter().flat_map(|resource| texts(&resource.attributes)).collect(),
            kind: span.kind(),
            name: span.name,
            trace: hex(&span.trace_id),
            id: hex(&span.span_id),
            parent: hex(&span.parent_span_id),
            links: span.links.iter().map(|link| (hex(&link.trace_id), hex(&link.span_id))).collect(),
            attributes: texts(&span.attributes).collect(),
            events: span.events.len(),
        }
    }
}

impl Log {
    fn of(resource: &Option<Resource>, log: logs::v1::LogRecord) -> Self {
        Self {
            resource: resource.iter().flat_map(|resource| texts(&resource.attributes)).collect(),
            body: text(log.body.as_ref()),
            attributes: texts(&log.attributes).collect(),
            trace: hex(&log.trace_id),
            span: hex(&log.span_id),
        }
    }
}

fn texts(attributes: &[KeyValue]) -> impl Iterator<Item = (String, String)> {
    attributes.iter().map(|KeyValue { key, value, .. }| (key.clone(), text(value.as_ref())))
}

fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        None => String::new(),
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        Some(Value::BoolValue(is)) => is.to_string(),
        Some(other) => format!("{other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
