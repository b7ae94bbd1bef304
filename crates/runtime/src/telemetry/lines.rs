//! Lines of the log on standard error: for people, or JSON with the ids of the trace that a line belongs to.

use std::fmt;
use std::io::IsTerminal;

use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt;
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::format::{Format, Json, JsonFields, Writer};
use tracing_subscriber::fmt::{self as log, FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::LogFormat;

/// The layer that writes events to standard error.
pub(super) fn layer<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let events = log::layer().with_writer(std::io::stderr);
    match format {
        LogFormat::Human => events.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => {
            let lines = log::format().json().flatten_event(true).with_span_list(false);
            events.fmt_fields(JsonFields::new()).event_format(WithTrace(lines)).boxed()
        }
    }
}

/// JSON lines with `trace_id` and `span_id` in them, where there is a trace.
struct WithTrace<T>(Format<Json, T>);

impl<S, N, T> FormatEvent<S, N> for WithTrace<T>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'w> FormatFields<'w> + 'static,
    Format<Json, T>: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        // The layer of traces makes each span that is entered the current one here, too; without that layer there is none.
        let current = Context::map_current(|current| current.span().span_context().clone());
        if !current.is_valid() {
            return self.0.format_event(context, writer, event);
        }
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        let fields = line.trim_end().strip_suffix('}').ok_or(fmt::Error)?;
        writeln!(writer, r#"{fields},"trace_id":"{}","span_id":"{}"}}"#, current.trace_id(), current.span_id())
    }
}
