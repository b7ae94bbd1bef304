//! `GET /v1/metrics/{metric}/values`: totals, series, breakdowns, top-N and comparisons.

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures::TryFutureExt;
use jiff::Timestamp;
use tidemark_domain::calendar::Slot;
use tidemark_domain::running::RunningMetric;
use tidemark_domain::{MetricName, Zone};
use tidemark_store::Tenant;

use crate::accept::Format;
use crate::answers::{self, SharedAnswer};
use crate::auth::{Caller, scope};
use crate::freshness::{Freshness, Reason};
use crate::limits::Admission;
use crate::openapi::GranularityName;
use crate::params::Params;
use crate::problem::{ApiError, Code, NotFound, ParameterError, Unprocessable};
use crate::query::answer::{Answer, ComparedRange, Compose, example};
use crate::query::ask::{Ask, Compare, Fill, KNOWN};
use crate::query::cost::Cost;
use crate::query::flat;
use crate::query::fold::{Fold, Measures, Shape};
use crate::query::gather::{Intake, Shelf};
use crate::query::held::Held;
use crate::query::plan::{Comparison, Ground, Plan};
use crate::sources;
use crate::state::{ApiState, metric_of};

/// Everything an answer is made from except its rows.
struct Question<'a> {
    name: &'a MetricName,
    metric: &'a RunningMetric,
    ask: &'a Ask,
    plan: &'a Plan,
    zone: &'a Zone,
}

/// Totals, series, breakdowns, top-N and comparisons of one metric.
///
/// Every value is a decimal number as text. A range is half-open, and its ends lie on quarters of an hour.
///
/// A request counts as several for its tenant's rate limit when it reads much: as one for each four queries of the database and each 250
/// stored rows. What would take too much is refused with 422 `query_too_large` and parameters that can be answered.
///
/// In CSV the null group is `\N`, and a group that begins with `\` has another `\` in front. A group that begins with `=`, `+`, `-`, `@`,
/// tab, CR, LF or `'` has a `'` in front, so that no spreadsheet takes it for a formula.
#[utoipa::path(
    get, path = "/v1/metrics/{metric}/values", operation_id = "get_metric_values", tag = "metrics",
    params(
        ("metric" = String, Path, description = "The metric's name.", example = "sales"),
        ("from" = Option<String>, Query, description = "Instant (RFC 3339), or date: its local midnight. Today's unless given.",
         pattern = "^\\d{4}-\\d{2}-\\d{2}(T\\d{2}:\\d{2}:\\d{2}(\\.\\d+)?(Z|[+-]\\d{2}:\\d{2}))?$", example = "2026-03-28"),
        ("to" = Option<String>, Query, description = "Exclusive; instant or date. Tomorrow's midnight unless given.",
         pattern = "^\\d{4}-\\d{2}-\\d{2}(T\\d{2}:\\d{2}:\\d{2}(\\.\\d+)?(Z|[+-]\\d{2}:\\d{2}))?$", example = "2026-03-31"),
        ("granularity" = inline(Option<GranularityName>), Query, description = "Length of the buckets; one bucket unless given."),
        ("time_zone" = Option<String>, Query, description = "IANA name; the tenant's zone unless given.",
         min_length = 1, example = "Europe/Berlin"),
        ("measures" = Option<String>, Query, description = "Names with commas; all unless given.",
         min_length = 1, example = "revenue,units"),
        ("group_by" = Option<String>, Query, description = "Dimensions with commas: one of the metric's `grouping_sets`.",
         example = "item"),
        ("filter" = Option<std::collections::BTreeMap<String, String>>, Query, style = DeepObject, explode,
         description = "`filter[<dimension>]=a,b`: groups to let in. Write `\\,` for a comma, `\\\\` for a backslash, `\\N` for the \
          null group."),
        ("order" = Option<String>, Query, description = "`key` (the default), a measure, or `-` and a measure: descending.",
         min_length = 1, example = "-revenue"),
        ("limit" = Option<u32>, Query, description = "Rows of each currency, 1 to 1000; 1000 unless given.",
         minimum = 1, maximum = 1000),
        ("other" = Option<bool>, Query, description = "Adds one row with the sum of all rows beyond the limit."),
        ("fill" = inline(Option<Fill>), Query, description = "What stands for empty buckets: zeros (the default), or nothing."),
        ("compare" = inline(Option<Compare>), Query, description = "Adds `previous` and `change`; in JSON only."),
    ),
    responses(
        (status = 200, description = "The numbers. CSV and NDJSON have one line for each bucket of each row.",
         headers(
             ("Data-Watermark" = String, description = "The watermark, once there is one."),
             ("Data-Exact" = String, description = "`true`, or `false` with the reasons."),
         ),
         content(
             (Answer = "application/json", example = json!(example())),
             (String = "text/csv",
              example = "from,to,item,currency,revenue,complete\n2026-03-27T23:00:00Z,2026-03-28T23:00:00Z,sku_42,EUR,3,true\n"),
             (String = "application/x-ndjson"),
         )),
        NotFound, Unprocessable, ApiError,
    ),
)]
pub(crate) async fn get_metric_values(
    caller: Caller<scope::MetricsRead>,
    State(state): State<ApiState>,
    Path(name): Path<String>,
    request: Parts,
) -> Result<Response, ApiError> {
    let admission = request.extensions.get::<Admission>().cloned().unwrap_or_default();
    let now = state.now();
    let running = state.running();
    let (name, metric) = metric_of(&running, &name, &caller.tenant)?;
    let source = running.sources.get(&metric.definition.source).ok_or(ApiError::NotFound)?;
    let format = Format::accepted(&request.headers);
    let zone = state.zones.of(&caller.tenant).await?;
    let mut params = Params::parse(request.uri.query());
    let ask = Ask::take(&mut params, &metric.definition, &zone, now);
    if ask.compare.is_some() && format != Format::Json {
        let detail = "is answered as JSON only: lines are buckets, and only totals are compared";
        params.refuse(ParameterError::new("compare", Code::InvalidValue, detail));
    }
    let ground = Ground { metric: &metric.definition, lanes: metric.lanes_read(), tenant_zone: &zone, now };
    let plan = Plan::make(&mut params, &ask, ground);
    let plan = params.finish_some(&KNOWN, || plan)?;
    let queue = state.limits.pages.queue(caller.tenant.id());
    let shelf = Shelf { store: &state.store, tenant: &caller.tenant, name: &name, metric, queue: &queue };
    let question = Question { name: &name, metric, ask: &ask, plan: &plan, zone: &zone };
    let compute = Box::pin(async {
        let cost = Cost { queries: plan.queries, rows: 0 };
        admission.charge(cost.tokens())?;
        // The watermark is read before the rows, so that every change up to it is in them.
        let reading = sources::reading(&state.streams, source).await?;
        let quarantined = state.store.quarantine_counts(&caller.tenant).map_err(ApiError::of_store);
        let measures = Measures::of(&metric.definition);
        let share = state.limits.memory.share(Some(caller.tenant.id().clone()));
        let compared = plan.comparison.as_ref().map(Comparison::whole);
        let [current, previous] = question.shapes(&measures, compared.as_slice());
        let mut intake = Intake {
            admission: &admission,
            current: Fold::new(current),
            previous: compared.map(|_| Fold::new(previous)),
            held: Held { ask: &ask, ground, share },
            cost,
        };
        let moved_at = state.zones.moved_at(&zone);
        let ((), quarantined, moved_at) = futures::try_join!(shelf.gather(&plan, &mut intake), quarantined, moved_at)?;
        // What no row could take shows in the rows; what was never counted, only here.
        let is_missed = quarantined.get(&metric.definition.source).is_some_and(|count| count.uncounted > 0);
        let has_moved = moved_at.is_some_and(|moved_at| metric.began_before(moved_at));
        let freshness =
            Freshness::of(&reading, state.present()).because(Reason::BrokenRow, is_missed).because(Reason::Zones, has_moved);
        question.answered(intake, &measures, freshness, format)
    });
    let answer = state.answers.get(question.shared_by(&caller.tenant, format), compute).await?;
    let share = answer.hold(&state.limits.memory, caller.tenant.id())?;
    let vary = [(header::VARY, HeaderValue::from_static("accept"))];
    // The share goes with the response.
    Ok((vary, Extension(share), &*answer).into_response())
}

impl Question<'_> {
    /// Who shares the answer: whoever of the same tenant means the same. The definition's version and generation stand for all that
    /// the metric is made of, and the tenant's zone for its day rows; what is read, and when, is the answer's own.
    fn shared_by(&self, tenant: &Tenant, format: Format) -> answers::Question {
        let Self { name, metric, ask, zone, .. } = self;
        let (version, generation) = (metric.definition.version(), metric.generation);
        let since = (metric.since, &metric.measures_since, &metric.sets_since);
        // `Debug` shows texts in quotes and escapes what is in them, so that different questions are different texts.
        let meaning = format!("{name} {version:?} {generation} {since:?} {} {format:?} {ask:?}", zone.name());
        answers::Question { tenant: tenant.id().clone(), meaning }
    }

    /// How the rows of the range, and those of the range compared with, become cells.
    fn shapes<'s>(&'s self, measures: &'s Measures<'s>, compared: &'s [Slot]) -> [Shape<'s>; 2] {
        let Self { ask, plan, zone, .. } = *self;
        let current = Shape { measures, set: &plan.set, group_by: &ask.group_by, slots: &plan.slots, zone };
        [current, Shape { slots: compared, ..current }]
    }

    /// The answer, written.
    fn answered(
        &self,
        intake: Intake<'_>,
        measures: &Measures<'_>,
        freshness: Freshness,
        format: Format,
    ) -> Result<SharedAnswer, ApiError> {
        let Intake { current, previous, mut held, .. } = intake;
        let has_broken = current.has_broken() || previous.as_ref().is_some_and(Fold::has_broken);
        let freshness = self.judged(freshness, has_broken);
        let (current, previous) = (current.finish(), previous.map(Fold::finish));
        let Self { ask, plan, .. } = *self;
        let compose = Compose {
            ask,
            measures,
            slots: &plan.slots,
            current: &current,
            previous: previous.as_ref(),
            watermark: freshness.watermark,
        };
        held.grow(compose.bytes())?;
        let (totals, data) = compose.rows()?;
        let answer = Answer {
            metric: self.name.clone(),
            version: self.metric.definition.version(),
            from: ask.range.from,
            to: ask.range.to,
            granularity: ask.granularity.map(|granularity| granularity.as_str()),
            time_zone: ask.zone.clone(),
            freshness,
            compared_with: plan.comparison.as_ref().map(|compared| ComparedRange::from(compared.range)),
            totals,
            data,
        };
        let by_currency = self.metric.definition.currency.is_some();
        let body = held.collect(|body| match format {
            Format::Json => Ok(serde_json::to_writer(body, &answer)?),
            Format::Csv => flat::csv(&answer, ask, by_currency, body),
            Format::Ndjson => flat::ndjson(&answer, body),
        })?;
        Ok(SharedAnswer::new(content_type(format), body, answer.freshness))
    }

    /// Adds the reasons that lie in this question rather than in the source.
    fn judged(&self, freshness: Freshness, has_broken: bool) -> Freshness {
        let later: Option<Timestamp> = self.metric.set_since(&self.plan.set);
        // The measure that rows are ordered by decides which of them are shown.
        let mut measures = self.ask.measures.iter().chain(self.ask.order.measure());
        let later = later.or_else(|| measures.find_map(|measure| self.metric.measure_since(measure)));
        freshness.because(Reason::Definitions, later.is_some()).because(Reason::BrokenRow, has_broken)
    }
}

fn content_type(format: Format) -> &'static str {
    match format {
        Format::Json => "application/json",
        Format::Csv => "text/csv; charset=utf-8",
        Format::Ndjson => "application/x-ndjson",
    }
}
