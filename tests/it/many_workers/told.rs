//! What a fleet tells everybody else: the API its clients, and the workers' metrics their operators.

use std::collections::BTreeMap;

use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tidemark_domain::TenantId;
use tidemark_runtime::clock;
use tidemark_runtime::settings::Vars;
use tidemark_runtime::telemetry::{self, LogFormat, Telemetry};
use tidemark_store::{Holder, NewKey, Scope, Store, Tenant};
use tidemark_streams::GapReason;
use tidemark_tests::RunningApi;
use tidemark_tests::deployment::tables;

use super::fleet::Fleet;

/// A gap: its shard and why.
pub(super) type Told = (String, GapReason);

/// This process's metrics, which every worker that starts after this fills.
pub(super) fn telemetry() -> Telemetry {
    telemetry::init("tidemark-ingest", LogFormat::Human, &Vars::of([("RUST_LOG", "off")]))
}

/// The values of one metric of one source, by another of its labels.
pub(super) fn measured(metric: &str, source: &str, by: &str) -> BTreeMap<String, f64> {
    let mut values = BTreeMap::new();
    for family in telemetry().registry().gather().iter().filter(|family| family.name() == metric) {
        for one in family.get_metric() {
            let label = |name: &str| one.get_label().iter().find(|label| label.name() == name).map(|label| label.value());
            if label("source") == Some(source) {
                let value = one.get_counter().get_value() + one.get_gauge().get_value();
                values.insert(label(by).unwrap().to_owned(), value);
            }
        }
    }
    values
}

/// The gaps of a source, as everybody tells them, are these and no others, each once: the stored status, the metric, and the API,
/// which answers what is counted and says that it is not exact.
pub(super) async fn expect_gaps(fleet: &Fleet, source: &str, gaps: &[Told]) {
    let sorted = |mut gaps: Vec<(String, String)>| {
        gaps.sort();
        gaps
    };
    let expected = sorted(gaps.iter().map(|(shard, reason)| (shard.clone(), reason.as_str().to_owned())).collect());
    let stored = fleet.status().await.into_iter().flat_map(|status| status.gaps);
    assert_eq!(sorted(stored.map(|gap| (gap.shard.to_string(), gap.reason.as_str().to_owned())).collect()), expected);

    let mut by_reason = BTreeMap::new();
    for (_, reason) in &expected {
        *by_reason.entry(reason.clone()).or_insert(0.0) += 1.0;
    }
    assert_eq!(measured("tidemark_ingest_gaps_total", source, "reason"), by_reason);

    let api = RunningApi::start(&fleet.wire.config(), fleet.definitions()).await;
    let client = api.client(key(fleet).await);
    let answer = client.values("sales", &[("from", "2026-03-01"), ("to", "2026-03-06"), ("measures", "units")]).await;
    assert_eq!(answer["totals"][0]["values"]["units"], fleet.counted().await.to_string());
    assert_eq!((&answer["freshness"]["exact"], &answer["freshness"]["reasons"]), (&json!(false), &json!(["gap"])));
    let status = client.get("/v1/status").await.json()["data"][0].clone();
    assert_eq!((&status["status"], &status["exact"], &status["gap_count"]), (&json!("gap"), &json!(false), &json!(gaps.len())));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let shown = status["gaps"].as_array().unwrap();
    assert_eq!(sorted(shown.iter().map(|gap| (text(&gap["shard"]), text(&gap["reason"]))).collect()), expected);
    assert!(
        shown.windows(2).all(|pair| text(&pair[0]["detected_at"]) >= text(&pair[1]["detected_at"])),
        "newest first: {shown:?}"
    );
    api.stop().await;
}

async fn key(fleet: &Fleet) -> String {
    let holder = Holder::Tenant(Tenant::named_by_operator(TenantId::new("demo").unwrap()));
    let new = NewKey { holder, scopes: Scope::of_tenants(), name: None, expires_at: None };
    let issued = Store::new(&fleet.wire.config(), tables()).create_key(&new, None, clock::now()).await.unwrap();
    issued.key.expose_secret().to_owned()
}
