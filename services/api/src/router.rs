//! Every route, and every layer around them.

use std::time::Duration;

use axum::Router;
use axum::error_handling::HandleErrorLayer;
use axum::middleware::{from_fn, from_fn_with_state};
use tokio_util::sync::CancellationToken;
use tower::ServiceBuilder;
use tower::limit::GlobalConcurrencyLimitLayer;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, Predicate};
use tower_http::limit::RequestBodyLimitLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::oidc::Tokens;
use crate::docs;
use crate::edge::{Docs, EdgeSettings, Origins};
use crate::layers::{
    admission, bodiless, conditional, cors, draining, head, held, issuer, measured, problems, request_id, traced, unsent,
};
use crate::openapi;
use crate::routes::alert_rules::preview;
use crate::routes::alerts::act;
use crate::routes::webhook_endpoints::{call, secret, switch};
use crate::routes::{
    admin, alert_rules, alerts, api_keys, deliveries, dimensions, inventory, metrics, quarantine, status, tenant, values,
    webhook_endpoints,
};
use crate::state::ApiState;

/// Longest time an answer may take.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest body of a request.
pub(crate) const BODY_BYTES_MAX: usize = 256 * 1024;
/// Requests being answered at once; one more is refused at once instead of making all of them slow.
pub(crate) const REQUESTS_AT_ONCE_MAX: usize = 256;

/// Every documented route.
pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::with_openapi(openapi::base())
        .routes(routes!(metrics::list_metrics))
        .routes(routes!(metrics::get_metric))
        .routes(routes!(values::get_metric_values))
        .routes(routes!(dimensions::list_dimension_values))
        .routes(routes!(status::get_status))
        .routes(routes!(inventory::list_inventory))
        .routes(routes!(inventory::get_inventory_item))
        .routes(routes!(alert_rules::list_alert_rules, alert_rules::create_alert_rule))
        .routes(routes!(preview::preview_alert_rule))
        .routes(routes!(alert_rules::get_alert_rule, alert_rules::update_alert_rule, alert_rules::delete_alert_rule))
        .routes(routes!(alerts::list_alerts))
        .routes(routes!(alerts::get_alert))
        .routes(routes!(act::acknowledge_alert))
        .routes(routes!(act::resolve_alert))
        .routes(routes!(act::mute_alert))
        .routes(routes!(act::unmute_alert))
        .routes(routes!(webhook_endpoints::list_webhook_endpoints, webhook_endpoints::create_webhook_endpoint))
        .routes(routes!(
            webhook_endpoints::get_webhook_endpoint,
            webhook_endpoints::update_webhook_endpoint,
            webhook_endpoints::delete_webhook_endpoint
        ))
        .routes(routes!(switch::enable_webhook_endpoint))
        .routes(routes!(switch::disable_webhook_endpoint))
        .routes(routes!(secret::rotate_webhook_secret))
        .routes(routes!(call::test_webhook_endpoint))
        .routes(routes!(call::recover_webhook_endpoint))
        .routes(routes!(deliveries::list_deliveries))
        .routes(routes!(deliveries::get_delivery))
        .routes(routes!(deliveries::retry_delivery))
        .routes(routes!(quarantine::list_quarantine))
        .routes(routes!(quarantine::get_quarantined_record))
        .routes(routes!(tenant::get_tenant, tenant::update_tenant))
        .routes(routes!(api_keys::list_api_keys, api_keys::create_api_key))
        .routes(routes!(api_keys::get_api_key, api_keys::delete_api_key))
        .routes(routes!(admin::list_admin_tenants, admin::create_admin_tenant))
        .routes(routes!(admin::get_admin_tenant, admin::update_admin_tenant, admin::delete_admin_tenant))
        .routes(routes!(admin::create_admin_api_key))
}

/// The whole API: the routes, their document and a page for people unless they are switched off, and the layers.
pub(crate) fn router(state: ApiState, edge: &EdgeSettings, stop: CancellationToken) -> Router {
    let (routes, _) = routes().split_for_parts();
    let routes = match edge.docs {
        Docs::On => routes.merge(docs::routes(state.limits.clone())),
        Docs::Off => routes,
    };
    let tokens = state.tokens.clone();
    layered(routes.with_state(state), tokens, &edge.cors_origins, stop)
}

/// Wraps routes in the layers, the first being the outermost.
fn layered(routes: Router, tokens: Option<Tokens>, origins: &Origins, stop: CancellationToken) -> Router {
    let layers = ServiceBuilder::new()
        // Outermost, so that everything below logs within the request's span and every answer carries the id.
        .layer(from_fn(request_id::layer))
        // Below the id, which the span carries; above whatever can refuse a request, so that a refusal is in its trace.
        .layer(from_fn(traced::layer))
        // Above whatever can refuse a request, so that refusals are counted too.
        .layer(from_fn(measured::layer))
        // Above everything that answers, for the connection is closed behind whatever the answer is.
        .layer(from_fn_with_state(stop, draining::layer))
        // Above the limits and the routes: a browser's question before the request has no key, and refusals are for its page, too.
        .option_layer(cors::layer(origins))
        // Below those that note the method, above whatever an answer to GET is made of.
        .layer(from_fn(bodiless::layer))
        // Above compression: what waits to be sent is the compressed answer, without its encoder.
        .layer(from_fn(unsent::layer))
        // Above the layer that writes refusals: their bodies are compressed like any other.
        .layer(CompressionLayer::new().compress_when(DefaultPredicate::new().and(docs::may_be_compressed)))
        // Below it: a weak ETag is of the answer, however it is then sent.
        .layer(from_fn(conditional::layer))
        // Above whatever refuses: a refusal is told how the limits stand, too.
        .layer(from_fn(admission::layer))
        // Above every layer that answers with a bare status, and above the routes' own refusals.
        .layer(from_fn(problems::layer))
        // Below it: an answer for which there is no memory is refused. Above the limit on requests at once, whose places are for work:
        // slow readers would otherwise take all of them.
        .layer(from_fn(held::layer))
        // Below that one: a panic becomes a refusal, not a closed connection.
        .layer(CatchPanicLayer::custom(problems::of_panic))
        // Above the limit: what is not looked at takes no place.
        .layer(from_fn(head::layer))
        // Above the limit: a request that waits for the keys of an issuer holds no place. Below `head`: the header has its limit.
        .layer(from_fn_with_state(tokens, issuer::layer))
        .layer(HandleErrorLayer::new(problems::of_layer))
        // One limit for all routes: an axum layer is applied to each route, and an ordinary limit would be one per route.
        .load_shed()
        .layer(GlobalConcurrencyLimitLayer::new(REQUESTS_AT_ONCE_MAX))
        // Below the limit: a request holds its place for no longer than this.
        .timeout(REQUEST_TIMEOUT)
        .layer(RequestBodyLimitLayer::new(BODY_BYTES_MAX));
    routes.layer(layers)
}

#[cfg(test)]
pub(crate) mod tests;
