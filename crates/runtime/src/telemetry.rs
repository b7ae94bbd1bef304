//! Logs to standard error, metrics to a Prometheus registry; and traces, metrics and logs by OTLP where an endpoint is set.
//!
//! Instruments are made from `opentelemetry::global::meter`, after [`init`]; `/metrics` shows the registry. Spans are made with
//! `tracing`, see [`trace`].

mod client;
mod filter;
mod lines;
mod otlp;
mod target;
pub mod trace;

use std::error::Error;
use std::io::IsTerminal;
use std::sync::OnceLock;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{MeterProviderBuilder, SdkMeterProvider};
use opentelemetry_sdk::resource::{EnvResourceDetector, TelemetryResourceDetector};
use prometheus::Registry;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::settings::{Setting, Vars};

pub(crate) use filter::FAILURE;
pub use otlp::FLUSH_MAX;
use otlp::Providers;
use target::Targets;

/// The setting that has telemetry sent by OTLP.
pub const OTLP_ENDPOINT: Setting = Setting::optional(
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "collector that traces, metrics and logs are sent to by OTLP, http/protobuf, such as http://collector:4318; other OTEL_* hold, too",
);

/// The setting that says what is logged.
pub const RUST_LOG: Setting = Setting::optional(
    "RUST_LOG",
    "what is logged: a level, or target=level pairs with commas; unset: info, and only warnings of the HTTP and AWS crates",
);

/// The filter when nothing is set: at `info` these crates say more about their own connections than about our work.
const DEFAULT_FILTER: &str = "info,hyper=warn,hyper_util=warn,h2=warn,rustls=warn,aws_config=warn,aws_runtime=warn,aws_sdk_dynamodb=warn,\
    aws_sdk_dynamodbstreams=warn,aws_smithy_runtime=warn,aws_smithy_runtime_api=warn,dynoxide=error,opentelemetry=warn,opentelemetry_sdk=warn";

/// How log events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people, coloured on a terminal.
    Human,
    /// One JSON object a line.
    Json,
}

/// The telemetry of this process; clones share it.
#[derive(Debug, Clone)]
pub struct Telemetry {
    registry: Registry,
    sent: Providers,
}

impl LogFormat {
    /// Lines for people when standard error is a terminal, JSON otherwise.
    pub fn of_stderr() -> Self {
        if std::io::stderr().is_terminal() { Self::Human } else { Self::Json }
    }
}

impl Telemetry {
    /// The registry that `/metrics` shows.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Sends what is left, and sends nothing from then on: for the end of a process, after its drain. Takes [`FLUSH_MAX`] at most,
    /// whatever the collector does.
    pub async fn shutdown(self) {
        self.sent.shutdown().await;
    }
}

/// Starts telemetry for this process. Later calls return what the first one started, whatever they ask for: two services in one
/// process (`tidemark dev`) and tests share one set of logs, metrics and traces.
///
/// What is logged comes from [`RUST_LOG`], what is sent from [`OTLP_ENDPOINT`] and the variables beside it. A value that cannot be
/// read is itself logged, and the process goes on as if it were not set.
pub fn init(service: &'static str, format: LogFormat, vars: &Vars) -> Telemetry {
    static STARTED: OnceLock<Telemetry> = OnceLock::new();
    STARTED.get_or_init(|| start(service, format, vars)).clone()
}

fn start(service: &'static str, format: LogFormat, vars: &Vars) -> Telemetry {
    let wanted = || filter(vars).unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let (targets, faults) = Targets::read(vars);
    let (registry, meter) = prometheus();
    let resource = resource(service, vars);
    let (sent, meter, not_sent) = {
        // What the SDK has to say about its own variables it says while it is made; the layers below need it to be made first.
        let _said =
            tracing_subscriber::registry().with(lines::layer(format).with_filter(filter::of_stderr(wanted()))).set_default();
        Providers::start(&targets, &resource, meter.with_resource(resource.clone()))
    };
    opentelemetry::global::set_meter_provider(meter);
    let traces = sent.tracer.as_ref().map(|tracer| {
        let layer = tracing_opentelemetry::layer().with_tracer(tracer.tracer("tidemark"));
        // Where in the code, on which thread and how busy: five attributes more on every span, and nobody looks for them there.
        let layer = layer.with_location(false).with_threads(false).with_tracked_inactivity(false).with_target(false);
        layer.with_filter(filter::of_traces())
    });
    let logs = sent.logger.as_ref().map(|logger| OpenTelemetryTracingBridge::new(logger).with_filter(filter::of_logs(wanted())));
    let stderr = lines::layer(format).with_filter(filter::of_stderr(wanted()));
    if tracing_subscriber::registry().with(traces).with(stderr).with(logs).try_init().is_err() {
        tracing::debug!("logs go where the subscriber that was there first sends them");
    }
    if let Err(fault) = filter(vars) {
        tracing::warn!(%fault, "{} cannot be read, so the default is used", RUST_LOG.name);
    }
    faults.iter().for_each(|fault| tracing::warn!("{fault}"));
    for fault in not_sent {
        tracing::warn!(cause = fault.source().map(tracing::field::display), "{fault}");
    }
    Telemetry { registry, sent }
}

fn filter(vars: &Vars) -> Result<EnvFilter, FilterFault> {
    Ok(EnvFilter::builder().parse(vars.get(RUST_LOG.name)?.unwrap_or(DEFAULT_FILTER))?)
}

#[derive(Debug, thiserror::Error)]
enum FilterFault {
    #[error(transparent)]
    NotUnicode(#[from] crate::settings::NotUnicode),
    #[error(transparent)]
    Directive(#[from] ParseError),
}

/// A registry of its own, and the beginning of the provider that fills it.
fn prometheus() -> (Registry, MeterProviderBuilder) {
    let registry = Registry::new();
    let exporter = opentelemetry_prometheus::exporter()
        .with_registry(registry.clone())
        .scope_info_enabled(false)
        .build()
        .expect("an empty registry takes its first collector");
    (registry, SdkMeterProvider::builder().with_reader(exporter))
}

/// Who sends: the service, its version, and which of its processes. What `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME` say, holds.
fn resource(service: &'static str, vars: &Vars) -> Resource {
    // Pods have their names as host names; on one host the process tells instances apart.
    let instance = format!("{}/{}", gethostname::gethostname().to_string_lossy(), std::process::id());
    let ours = [("service.version", env!("CARGO_PKG_VERSION").to_owned()), ("service.instance.id", instance)];
    let builder = Resource::builder_empty().with_service_name(service);
    let builder = builder.with_attributes(ours.map(|(name, value)| KeyValue::new(name, value)));
    let builder = builder.with_detectors(&[Box::new(TelemetryResourceDetector), Box::new(EnvResourceDetector::new())]);
    match vars.get("OTEL_SERVICE_NAME") {
        Ok(Some(name)) => builder.with_service_name(name.to_owned()).build(),
        _ => builder.build(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instrument_shows_in_the_registry_that_every_init_returns() {
        let first = init("tidemark-ingest", LogFormat::Json, &Vars::default());
        let second = init("tidemark-api", LogFormat::Human, &Vars::default());
        opentelemetry::global::meter("tidemark").u64_counter("tidemark.tests").build().add(2, &[]);
        for telemetry in [first, second] {
            let text = prometheus::TextEncoder::new().encode_to_string(&telemetry.registry().gather()).unwrap();
            assert!(text.contains("\ntidemark_tests_total 2\n"), "{text}");
            assert!(text.contains(r#"service_name="tidemark-ingest""#), "{text}");
        }
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_a_fault() {
        assert!(filter(&Vars::of([("RUST_LOG", "tidemark=loud")])).is_err());
        assert_eq!(filter(&Vars::of([("RUST_LOG", "debug")])).unwrap().to_string(), "debug");
        assert!(filter(&Vars::default()).unwrap().to_string().contains("hyper=warn"));
    }
}
