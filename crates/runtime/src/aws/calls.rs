//! What calls to DynamoDB and DynamoDB Streams take, meet and cost: an interceptor of the SDK that measures each operation and
//! holds its span.
//!
//! It changes nothing but that answers tell their capacity, which costs nothing: no randomness, no waiting, so that runs in virtual
//! time stay what they are. Attributes are bounded: operations, the deployment's tables, AWS's own codes; never a tenant, a key or
//! a URL.

use std::borrow::Cow;
use std::sync::Arc;

use aws_sdk_dynamodb::config::SharedInterceptor;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeSerializationInterceptorContextMut, Error, FinalizerInterceptorContextRef, Output,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpResponse, Metadata, OrchestratorError};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter};
use tokio::time::Instant;
use tracing::Span;
use tracing::field::Empty;

use self::refusal::Refusal;
use crate::health;

mod capacity;
mod refusal;

/// OpenTelemetry's own name and attributes (semantic conventions, database client, stable).
const DURATION: &str = "db.client.operation.duration";
const SYSTEM: &str = "db.system.name";
const OPERATION: &str = "db.operation.name";
const TABLE: &str = "db.collection.name";
const ERROR: &str = "error.type";
/// The resource that was at its limit when an attempt was throttled: `index`, `table`, `account` or `unknown`.
const RESOURCE: &str = "resource";
const DYNAMODB: &str = "aws.dynamodb";

/// Upper bounds of the duration's buckets in seconds, as the conventions advise.
const DURATION_SECONDS: [f64; 9] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];

/// The error type of an operation that nobody waited for to its end.
const ABANDONED: &str = "abandoned";
/// The header that names a request to AWS's support.
const REQUEST_ID: &str = "x-amzn-requestid";

/// The interceptor, for every client that a workload makes. Its instruments come from the global meter, so telemetry has to have
/// been started.
pub fn interceptor() -> SharedInterceptor {
    SharedInterceptor::new(Calls::new(&opentelemetry::global::meter("tidemark-runtime")))
}

#[derive(Debug)]
struct Calls(Arc<Instruments>);

#[derive(Debug)]
struct Instruments {
    seconds: Histogram<f64>,
    throttles: Counter<u64>,
    conflicts: Counter<u64>,
    capacity: Counter<f64>,
}

/// An operation under way, from before its first attempt. It lies in the operation's own configuration, so it ends with the
/// operation, also with one whose future is dropped; then it is measured.
#[derive(Debug)]
struct Call {
    instruments: Arc<Instruments>,
    started: Instant,
    /// The operation, and the table if it is one.
    attributes: Vec<KeyValue>,
    span: Span,
    /// What it failed with, unless it succeeded.
    error: Option<Cow<'static, str>>,
}

impl Calls {
    fn new(meter: &Meter) -> Self {
        let seconds = meter
            .f64_histogram(DURATION)
            .with_unit("s")
            .with_description("Time of an operation of DynamoDB, its retries included")
            .with_boundaries(DURATION_SECONDS.to_vec())
            .build();
        let throttles = meter
            .u64_counter("tidemark.dynamodb.throttles")
            .with_description(
                "Attempts that DynamoDB refused as too many, by operation, table and the resource that was at its limit",
            )
            .build();
        let conflicts = meter
            .u64_counter("tidemark.dynamodb.conflicts")
            .with_description("Attempts that met another transaction, by operation and table")
            .build();
        let capacity = meter
            .f64_counter("tidemark.dynamodb.consumed.capacity")
            .with_description(
                "Capacity units of what succeeded, indexes included, by table and kind; what is refused costs too, untold",
            )
            .build();
        Self(Arc::new(Instruments { seconds, throttles, conflicts, capacity }))
    }
}

impl Intercept for Calls {
    fn name(&self) -> &'static str {
        "Calls"
    }

    /// The first hook that knows the operation's name.
    fn modify_before_serialization(
        &self,
        context: &mut BeforeSerializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Some(operation) = cfg.load::<Metadata>() else { return Ok(()) };
        let call = Call::begin(&self.0, operation.name(), capacity::ask(context.input_mut()));
        cfg.interceptor_state().store_put(call);
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let (Some(call), Some(response)) = (cfg.load::<Call>(), context.response()) {
            call.answered(response);
        }
        Ok(())
    }

    fn read_after_execution(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Some(call) = cfg.get_mut_from_interceptor_state::<Call>() else { return Ok(()) };
        match context.output_or_error() {
            Some(Ok(output)) => call.succeeded(output),
            Some(Err(error)) => call.error = Some(error_type(error, context.response())),
            None => {}
        }
        Ok(())
    }
}

impl Call {
    fn begin(instruments: &Arc<Instruments>, operation: &str, table: Option<String>) -> Self {
        // Where no subscriber wants this target at this level, the macro evaluates none of its fields and allocates nothing.
        let span = tracing::info_span!(
            "DynamoDB",
            otel.name = %format_args!("DynamoDB.{operation}"),
            otel.kind = "client",
            otel.status_code = Empty,
            db.system.name = DYNAMODB,
            db.operation.name = operation,
            db.collection.name = table.as_deref(),
            aws.request_id = Empty,
            error.type = Empty,
        );
        let operation = KeyValue::new(OPERATION, operation.to_owned());
        let attributes = [operation].into_iter().chain(table.map(|table| KeyValue::new(TABLE, table))).collect();
        Self { instruments: Arc::clone(instruments), started: Instant::now(), attributes, span, error: Some(ABANDONED.into()) }
    }

    /// An attempt was answered. The span keeps the name of the last one.
    fn answered(&self, response: &HttpResponse) {
        if let Some(id) = response.headers().get(REQUEST_ID) {
            self.span.record("aws.request_id", id);
        }
        let Some(refusal) = Refusal::of(response) else { return };
        if let Some(limited) = refusal.throttled() {
            let resource = KeyValue::new(RESOURCE, limited.as_str());
            let attributes: Vec<KeyValue> = self.attributes.iter().cloned().chain([resource]).collect();
            self.instruments.throttles.add(1, &attributes);
        }
        if refusal.is_conflict() {
            self.instruments.conflicts.add(1, &self.attributes);
        }
    }

    fn succeeded(&mut self, output: &Output) {
        self.error = None;
        for (table, kind, units) in capacity::of(output) {
            let attributes = [KeyValue::new(TABLE, table.to_owned()), KeyValue::new("kind", kind.as_str())];
            self.instruments.capacity.add(units, &attributes);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.attributes.push(KeyValue::new(SYSTEM, DYNAMODB));
        if let Some(error) = self.error.take() {
            self.span.record("otel.status_code", "ERROR");
            self.span.record(ERROR, &*error);
            self.attributes.push(KeyValue::new(ERROR, error));
        }
        self.instruments.seconds.record(self.started.elapsed().as_secs_f64(), &self.attributes);
        health::touch_own();
    }
}

impl Storable for Call {
    type Storer = StoreReplace<Self>;
}

/// AWS's code for a refusal; for anything else what it was, in a word.
fn error_type(error: &OrchestratorError<Error>, response: Option<&HttpResponse>) -> Cow<'static, str> {
    if error.is_timeout_error() {
        "timeout".into()
    } else if error.is_connector_error() {
        "connection".into()
    } else if let Some(refusal) = response.and_then(Refusal::of) {
        refusal.code.into()
    } else {
        "_OTHER".into()
    }
}

#[cfg(test)]
mod tests;
