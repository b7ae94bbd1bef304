//! What sends telemetry by OTLP: one exporter with its own thread for each signal, and their end.

use std::time::Duration;

use opentelemetry_http::HttpError;
use opentelemetry_otlp::{LogExporter, MetricExporter, Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::{MeterProviderBuilder, PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::task::JoinSet;

use super::client::Client;
use super::target::{Signal, Target, Targets};

/// Longest time that sending the rest may take at the end of a process, all signals together.
pub const FLUSH_MAX: Duration = Duration::from_secs(5);

/// What sends the three signals, as far as they are sent. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Providers {
    pub(super) tracer: Option<SdkTracerProvider>,
    pub(super) logger: Option<SdkLoggerProvider>,
    /// Only where metrics are sent: the one that `/metrics` shows has nothing to flush.
    pub(super) meter: Option<SdkMeterProvider>,
}

/// An exporter that cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("{} are not sent", .signal.as_str())]
pub(super) struct NotSent {
    signal: Signal,
    #[source]
    cause: HttpError,
}

impl Providers {
    /// Starts what the targets ask for, as far as it can be started. Metrics get one more reader and are still the caller's to build.
    pub(super) fn start(
        targets: &Targets,
        resource: &Resource,
        meter: MeterProviderBuilder,
    ) -> (Self, SdkMeterProvider, Vec<NotSent>) {
        let mut faults = Vec::new();
        let tracer = made(targets.traces.as_ref(), span_exporter, &mut faults)
            .map(|exporter| SdkTracerProvider::builder().with_resource(resource.clone()).with_batch_exporter(exporter).build());
        let logger = made(targets.logs.as_ref(), log_exporter, &mut faults)
            .map(|exporter| SdkLoggerProvider::builder().with_resource(resource.clone()).with_batch_exporter(exporter).build());
        let sent = made(targets.metrics.as_ref(), metric_exporter, &mut faults);
        let is_sent = sent.is_some();
        let meter = match sent {
            Some(exporter) => meter.with_reader(PeriodicReader::builder(exporter).build()),
            None => meter,
        };
        let meter = meter.build();
        (Self { tracer, logger, meter: is_sent.then(|| meter.clone()) }, meter, faults)
    }

    /// Sends what is left of each signal, all at once, and ends their threads.
    ///
    /// That blocks for up to [`FLUSH_MAX`] whatever the collector does, hence not on a thread of the runtime; which itself waits for
    /// threads that block, so nothing here may take longer. Each provider keeps to that time (metrics by a constant of its own, 5 s).
    pub(super) async fn shutdown(self) {
        let mut ending = JoinSet::new();
        if let Some(tracer) = self.tracer {
            ending.spawn_blocking(move || (Signal::Traces, tracer.shutdown_with_timeout(FLUSH_MAX)));
        }
        if let Some(logger) = self.logger {
            ending.spawn_blocking(move || (Signal::Logs, logger.shutdown_with_timeout(FLUSH_MAX)));
        }
        if let Some(meter) = self.meter {
            ending.spawn_blocking(move || (Signal::Metrics, meter.shutdown_with_timeout(FLUSH_MAX)));
        }
        while let Some(ended) = ending.join_next().await {
            let Ok((signal, ended)) = ended else { continue };
            tell(signal, ended);
        }
    }
}

/// The second end of one process (two services, one set of providers) finds nothing left to do.
fn tell(signal: Signal, ended: OTelSdkResult) {
    let signal = signal.as_str();
    match ended {
        Ok(()) | Err(OTelSdkError::AlreadyShutdown) => {}
        Err(OTelSdkError::Timeout(_)) => {
            tracing::warn!(signal, "the last telemetry was not taken within {FLUSH_MAX:?}, and is lost")
        }
        Err(error) => tracing::warn!(signal, %error, "the last telemetry was not sent, and is lost"),
    }
}

fn made<T>(target: Option<&Target>, make: impl FnOnce(&Target) -> Result<T, HttpError>, faults: &mut Vec<NotSent>) -> Option<T> {
    let target = target?;
    match make(target) {
        Ok(made) => Some(made),
        Err(cause) => {
            faults.push(NotSent { signal: target.signal, cause });
            None
        }
    }
}

fn span_exporter(target: &Target) -> Result<SpanExporter, HttpError> {
    let exporter = SpanExporter::builder().with_http().with_http_client(Client::new(target)?);
    Ok(addressed(exporter, target).build()?)
}

fn log_exporter(target: &Target) -> Result<LogExporter, HttpError> {
    let exporter = LogExporter::builder().with_http().with_http_client(Client::new(target)?);
    Ok(addressed(exporter, target).build()?)
}

fn metric_exporter(target: &Target) -> Result<MetricExporter, HttpError> {
    let exporter = MetricExporter::builder().with_http().with_http_client(Client::new(target)?);
    Ok(addressed(exporter, target).build()?)
}

fn addressed<E: WithExportConfig>(exporter: E, target: &Target) -> E {
    let exporter = exporter.with_endpoint(target.url.to_string()).with_timeout(target.timeout);
    exporter.with_protocol(Protocol::HttpBinary)
}
