//! `GET /v1/metrics/{metric}/values`: totals, series, breakdowns, top-N and comparisons.

use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures::TryFutureExt;
use jiff::Timestamp;
use tidemark_domain::running::RunningMetric;
use tidemark_domain::{MetricName, Zone};
use tidemark_store::Tenant;

use crate::accept::Format;
use crate::answers::{self, SharedAnswer};
use crate::auth::{Caller, scope};
use crate::freshness::{Freshness, Reason};
use crate::openapi::GranularityName;
use crate::params::Params;
use crate::problem::{ApiError, Code, NotFound, ParameterError, Unprocessable};
use crate::query::answer::{Answer, ComparedRange, Compose, example};
use crate::query::ask::{Ask, Compare, Fill, KNOWN};
use crate::query::flat;
use crate::query::fold::{Fold, Measures};
use crate::query::gather::{Gathered, Shelf};
use crate::query::plan::{Ground, Plan};
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
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let now = state.now();
    let running = state.running();
    let (name, metric) = metric_of(&running, &name, &caller.tenant)?;
    let source = running.sources.get(&metric.definition.source).ok_or(ApiError::NotFound)?;
    let format = Format::accepted(&headers);
    let zone = state.zones.of(&caller.tenant).await?;
    let mut params = Params::parse(query.as_deref());
    let ask = Ask::take(&mut params, &metric.definition, &zone, now);
    if ask.compare.is_some() && format != Format::Json {
        let detail = "is answered as JSON only: lines are buckets, and only totals are compared";
        params.refuse(ParameterError::new("compare", Code::InvalidValue, detail));
    }
    let ground = Ground { metric: &metric.definition, lanes: metric.lanes_read(), tenant_zone: &zone, now };
    let plan = Plan::make(&mut params, &ask, ground);
    let plan = params.finish_some(&KNOWN, || plan)?;
    let shelf = Shelf { store: &state.store, tenant: &caller.tenant, name: &name, metric };
    let question = Question { name: &name, metric, ask: &ask, plan: &plan, zone: &zone };
    let compute = Box::pin(async {
        // The watermark is read before the rows, so that every change up to it is in them.
        let reading = sources::reading(&state.streams, source).await?;
        let quarantined = state.store.quarantine_counts(&caller.tenant).map_err(ApiError::of_store);
        let (gathered, quarantined) = futures::try_join!(shelf.gather(&ask, &plan, ground), quarantined)?;
        // What no row could take shows in the rows; what was never counted, only here.
        let is_missed = quarantined.get(&metric.definition.source).is_some_and(|count| count.uncounted > 0);
        let freshness = Freshness::of(&reading, now).because(Reason::BrokenRow, is_missed);
        let answer = question.answer(&gathered, freshness)?;
        Ok(written(format, answer, &ask, metric.definition.currency.is_some()))
    });
    let answer = state.answers.get(question.shared_by(&caller.tenant, format), compute).await?;
    let vary = [(header::VARY, HeaderValue::from_static("accept"))];
    Ok((vary, &*answer).into_response())
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

    fn answer(&self, gathered: &Gathered, freshness: Freshness) -> Result<Answer, ApiError> {
        let Self { ask, plan, .. } = *self;
        let freshness = self.judged(freshness, gathered);
        let measures = Measures::of(&self.metric.definition);
        let fold = Fold { measures: &measures, set: &plan.set, group_by: &ask.group_by, slots: &plan.slots, zone: self.zone };
        let current = fold.table(&gathered.current);
        let compared = plan.comparison.as_ref().map(|comparison| comparison.whole());
        let previous = compared.map(|slot| Fold { slots: &[slot], ..fold }.table(&gathered.previous));
        let watermark = freshness.watermark;
        let compose =
            Compose { ask, measures: &measures, slots: &plan.slots, current: &current, previous: previous.as_ref(), watermark };
        let (totals, data) = compose.rows()?;
        Ok(Answer {
            metric: self.name.clone(),
            version: self.metric.definition.version(),
            from: ask.range.from,
            to: ask.range.to,
            granularity: ask.granularity.map(|granularity| granularity.as_str()),
            time_zone: ask.zone.clone(),
            freshness,
            compared_with: compared.map(|slot| ComparedRange { from: slot.from, to: slot.to }),
            totals,
            data,
        })
    }

    /// Adds the reasons that lie in this question rather than in the source.
    fn judged(&self, freshness: Freshness, gathered: &Gathered) -> Freshness {
        let later: Option<Timestamp> = self.metric.set_since(&self.plan.set);
        // The measure that rows are ordered by decides which of them are shown.
        let mut measures = self.ask.measures.iter().chain(self.ask.order.measure());
        let later = later.or_else(|| measures.find_map(|measure| self.metric.measure_since(measure)));
        let broken = gathered.current.iter().chain(&gathered.previous).any(|row| row.broken);
        freshness.because(Reason::Definitions, later.is_some()).because(Reason::BrokenRow, broken)
    }
}

fn written(format: Format, answer: Answer, ask: &Ask, by_currency: bool) -> SharedAnswer {
    let (kind, body) = match format {
        Format::Json => ("application/json", serde_json::to_vec(&answer).expect("an answer is plain data")),
        Format::Csv => ("text/csv; charset=utf-8", flat::csv(&answer, ask, by_currency)),
        Format::Ndjson => ("application/x-ndjson", flat::ndjson(&answer)),
    };
    SharedAnswer::new(kind, body, answer.freshness)
}
