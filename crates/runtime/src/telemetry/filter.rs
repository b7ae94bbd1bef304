//! What goes where: which events and spans the log on standard error has, which are sent as logs, and which spans are traces.
//!
//! A span that declares `otel.kind` is part of a trace, and of nothing else; any other is there for the fields that it gives to log
//! lines. Every filter but one judges a callsite alone, never a call: where nothing is sent, no layer wants a span of traces, and
//! `tracing` then turns its callsite off for good. It costs the load of one atomic, makes no object, and evaluates no field. (That
//! holds for the one subscriber of a process; of two that differ, each is asked at every call.)

use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt;
use tracing::subscriber::Interest;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{EnvFilter, FilterExt, LevelFilter, dynamic_filter_fn, filter_fn};
use tracing_subscriber::layer::Filter;
use tracing_subscriber::registry::LookupSpan;

/// The field that makes a span part of a trace.
const KIND: &str = "otel.kind";

/// Whose events are not sent as logs: the way that they would be sent by. Each of them could otherwise bring about the next.
const NEVER_SENT: [&str; 8] =
    ["h2", "hyper", "hyper_util", "opentelemetry", "reqwest", "rustls", "tower", "tidemark_runtime::telemetry"];

/// The name of the event that says why a process fails, for a collector alone: people read it from `process::exit_code`.
pub(crate) const FAILURE: &str = "tidemark.process.failed";

/// Calls of AWS are spans of whatever trace they are made in. Workers poll and beat all the time outside of any; those would be
/// traces of one span each, by the hundred thousand.
const CALLS: &str = "tidemark_runtime::aws";

/// Events, and the spans that give them fields, as `RUST_LOG` has it.
pub(super) fn of_stderr<S: Subscriber + for<'a> LookupSpan<'a>>(wanted: EnvFilter) -> impl Filter<S> {
    let ours = |metadata: &Metadata<'_>| !is_of_trace(metadata) && !is_told_otherwise(metadata);
    wanted.and(filter_fn(ours).with_max_level_hint(LevelFilter::TRACE))
}

/// Events, as `RUST_LOG` has it.
pub(super) fn of_logs<S: Subscriber + for<'a> LookupSpan<'a>>(wanted: EnvFilter) -> impl Filter<S> {
    let ours = |metadata: &Metadata<'_>| metadata.is_event() && !NEVER_SENT.iter().any(|name| is_of(metadata, name));
    wanted.and(filter_fn(ours).with_max_level_hint(LevelFilter::TRACE))
}

/// Spans of traces, whatever is logged. Events are not: they are logs with the span's id already, and once is enough.
pub(super) fn of_traces<S: Subscriber + for<'a> LookupSpan<'a>>() -> impl Filter<S> {
    let wanted = |metadata: &Metadata<'_>| metadata.is_span() && *metadata.level() <= Level::INFO && is_of_trace(metadata);
    let is_in_trace =
        |metadata: &Metadata<'_>| !is_of(metadata, CALLS) || Context::map_current(|context| context.has_active_span());
    dynamic_filter_fn(move |metadata, _| wanted(metadata) && is_in_trace(metadata))
        .with_max_level_hint(LevelFilter::INFO)
        .with_callsite_filter(move |metadata| match wanted(metadata) {
            false => Interest::never(),
            true if is_of(metadata, CALLS) => Interest::sometimes(),
            true => Interest::always(),
        })
}

fn is_of_trace(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.fields().field(KIND).is_some()
}

/// Of a crate or module, or one below it. The SDK's own targets are names of packages, such as `opentelemetry-otlp`.
fn is_of(metadata: &Metadata<'_>, name: &str) -> bool {
    matches(metadata.target(), name)
}

fn matches(target: &str, name: &str) -> bool {
    let rest = target.strip_prefix(name);
    rest.is_some_and(|rest| {
        rest.is_empty() || rest.starts_with("::") || (name == "opentelemetry" && rest.starts_with(['-', '_']))
    })
}

/// Why a process fails; and what the SDK says for every batch that is not sent: `client.rs` says it once in a while, and `shutdown`
/// at the end.
fn is_told_otherwise(metadata: &Metadata<'_>) -> bool {
    let name = metadata.name();
    let is_repeated = name.starts_with("Export.Failed.")
        || name.ends_with("ExportError")
        || name.ends_with(".Export.Error")
        || name.ends_with(".AfterShutdown")
        || name.contains(".Shutdown.");
    name == FAILURE || (is_repeated && is_of(metadata, "opentelemetry"))
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::Registry;

    use super::super::DEFAULT_FILTER;
    use super::*;

    /// What a filter says once and for all of a callsite. A subscriber is not asked: those of other tests at the same time would have
    /// a say, too.
    fn interest(filter: impl Filter<Registry>, metadata: &'static Metadata<'static>) -> Interest {
        filter.callsite_enabled(metadata)
    }

    #[test]
    fn where_nothing_is_sent_the_callsite_of_a_traces_span_is_off_for_good() {
        let span = tracing::info_span!("process", otel.kind = "consumer");
        let of_trace = span.metadata().unwrap();
        let span = tracing::info_span!("request");
        let of_lines = span.metadata().unwrap();
        for wanted in [DEFAULT_FILTER, "trace"] {
            assert!(interest(of_stderr(EnvFilter::new(wanted)), of_trace).is_never(), "{wanted}");
            assert!(interest(of_stderr(EnvFilter::new(wanted)), of_lines).is_always(), "{wanted}: it gives fields to log lines");
            assert!(interest(of_logs(EnvFilter::new(wanted)), of_trace).is_never(), "{wanted}");
        }
        assert!(interest(of_traces(), of_trace).is_always());
        assert!(interest(of_traces(), of_lines).is_never());
    }

    #[test]
    fn the_way_that_logs_are_sent_by_is_never_sent() {
        let names = [
            "h2::proto",
            "hyper",
            "opentelemetry-otlp",
            "opentelemetry_sdk",
            "reqwest::connect",
            "tidemark_runtime::telemetry::client",
        ];
        let is_sent = |target: &str| !NEVER_SENT.iter().any(|name| matches(target, name));
        assert_eq!(names.into_iter().find(|target| is_sent(target)), None);
        assert!(
            ["tidemark_api", "hyperion", "tidemark_runtime::process", "tidemark_runtime::telemetry_of"].into_iter().all(is_sent)
        );
    }
}
