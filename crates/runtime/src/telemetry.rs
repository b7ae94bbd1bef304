//! Logs to standard error, metrics to a Prometheus registry.
//!
//! Instruments are made from `opentelemetry::global::meter`, after [`init`]; `/metrics` shows the registry.

use std::io::IsTerminal;
use std::sync::OnceLock;

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::Registry;
use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::settings::{Setting, Vars};

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
}

/// Starts telemetry for this process. Later calls return what the first one started, whatever they ask for: two services in one
/// process (`tidemark dev`) and tests share one set of logs and metrics.
///
/// What is logged comes from [`RUST_LOG`]; a value that cannot be read is itself logged, and the default is used.
pub fn init(service: &'static str, format: LogFormat, vars: &Vars) -> Telemetry {
    static STARTED: OnceLock<Telemetry> = OnceLock::new();
    STARTED
        .get_or_init(|| {
            log_to_stderr(format, vars);
            let (registry, meters) = meters(service);
            opentelemetry::global::set_meter_provider(meters);
            Telemetry { registry }
        })
        .clone()
}

fn log_to_stderr(format: LogFormat, vars: &Vars) {
    let (filter, fault) = match filter(vars) {
        Ok(filter) => (filter, None),
        Err(fault) => (EnvFilter::new(DEFAULT_FILTER), Some(fault)),
    };
    let events = fmt::layer().with_writer(std::io::stderr);
    let layer = match format {
        LogFormat::Human => events.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => events.json().flatten_event(true).with_span_list(false).boxed(),
    };
    if tracing_subscriber::registry().with(layer.with_filter(filter)).try_init().is_err() {
        tracing::debug!("logs go where the subscriber that was there first sends them");
    }
    if let Some(fault) = fault {
        tracing::warn!(%fault, "{} cannot be read, so the default is used", RUST_LOG.name);
    }
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

/// A registry of its own and the provider that fills it. The resource takes `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME`
/// into account.
fn meters(service: &'static str) -> (Registry, SdkMeterProvider) {
    let registry = Registry::new();
    let exporter = opentelemetry_prometheus::exporter()
        .with_registry(registry.clone())
        .scope_info_enabled(false)
        .build()
        .expect("an empty registry takes its first collector");
    let resource = Resource::builder().with_service_name(service).build();
    (registry, SdkMeterProvider::builder().with_resource(resource).with_reader(exporter).build())
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
