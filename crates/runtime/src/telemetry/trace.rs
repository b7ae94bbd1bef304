//! What ties spans to others that are not around them: of another process, or of an earlier time. W3C Trace Context.
//!
//! A span is made with `tracing`, and is part of a trace when it declares `otel.kind`; its fields are OpenTelemetry's names. Where
//! traces are not sent, such a span is disabled, and everything here does nothing.

use std::collections::HashMap;

use opentelemetry::Context;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{SpanContext, TraceContextExt};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

const TRACEPARENT: &str = "traceparent";

/// Makes a span the child of a remote one, by what came as its `traceparent`. Text that is none changes nothing. Call it before the
/// span is entered: then its parent is settled.
pub fn continue_from(span: &Span, traceparent: &str) {
    if span.is_disabled() {
        return;
    }
    let carrier = HashMap::from([(TRACEPARENT.to_owned(), traceparent.to_owned())]);
    let context = TraceContextPropagator::new().extract(&carrier);
    if context.span().span_context().is_valid() {
        // Fails for a span that has been entered only, or that no layer of traces knows.
        span.set_parent(context).ok();
    }
}

/// Links a span to another one that had to do with its coming about, without being around it. Text that is no `traceparent` changes
/// nothing.
pub fn link(span: &Span, traceparent: &str) {
    if span.is_disabled() {
        return;
    }
    let carrier = HashMap::from([(TRACEPARENT.to_owned(), traceparent.to_owned())]);
    span.add_link(TraceContextPropagator::new().extract(&carrier).span().span_context().clone());
}

/// A span as a `traceparent`; `None` when it is not recorded.
pub fn traceparent_of(span: &Span) -> Option<String> {
    if span.is_disabled() {
        return None;
    }
    of_context(&span.context())
}

/// The span that this runs in as a `traceparent`; `None` when there is none, or it is not recorded.
pub fn traceparent() -> Option<String> {
    Context::map_current(of_context)
}

fn of_context(context: &Context) -> Option<String> {
    let span = context.span();
    Some(span.span_context()).filter(|span| span.is_valid() && span.is_sampled()).map(written)
}

fn written(span: &SpanContext) -> String {
    format!("00-{}-{}-{:02x}", span.trace_id(), span.span_id(), span.trace_flags().to_u8())
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TracerProvider;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing::subscriber::with_default;
    use tracing_subscriber::layer::{Layer, SubscriberExt};
    use tracing_subscriber::registry;

    use super::super::filter;
    use super::*;

    const REMOTE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    /// Runs with traces on, sent nowhere.
    fn traced<T>(run: impl FnOnce() -> T) -> T {
        let tracer = SdkTracerProvider::builder().build().tracer("test");
        let layer = tracing_opentelemetry::layer().with_tracer(tracer).with_filter(filter::of_traces());
        with_default(registry().with(layer), run)
    }

    #[test]
    fn a_span_that_continues_a_remote_one_is_of_its_trace() {
        traced(|| {
            let span = tracing::info_span!("request", otel.kind = "server");
            continue_from(&span, REMOTE);
            let own = traceparent_of(&span).unwrap();
            assert_eq!((&own[..36], own.len()), (&REMOTE[..36], REMOTE.len()), "{own}");
            assert_ne!(own, REMOTE);
        });
    }

    #[test]
    fn text_that_is_no_traceparent_is_not_continued() {
        traced(|| {
            for text in ["", "00-00000000000000000000000000000000-b7ad6b7169203331-01", "nonsense", &REMOTE[..40]] {
                let span = tracing::info_span!("request", otel.kind = "server");
                continue_from(&span, text);
                assert_ne!(&traceparent_of(&span).unwrap()[3..35], &REMOTE[3..35]);
            }
        });
    }

    #[test]
    fn a_span_without_a_kind_and_one_without_a_layer_are_of_no_trace() {
        traced(|| assert_eq!(traceparent_of(&tracing::info_span!("request")), None));
        assert_eq!(traceparent_of(&tracing::info_span!("request", otel.kind = "server")), None);
    }
}
