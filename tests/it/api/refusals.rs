//! Everything that is refused says what is wrong, where, and what would do, as `application/problem+json`.

use insta::{assert_json_snapshot, with_settings};
use jiff::{SignedDuration, ToSpan};
use serde_json::{Value, json};
use tidemark_runtime::clock;
use tidemark_tests::{Answer, Fault, When};

use super::orders::Order;
use super::stock::{Stock, faults};
use super::{Shop, admin, operations};

const VALUES: &str = "/v1/metrics/sales/values";

/// The errors of a refusal as `parameter code`.
fn errors(problem: &Value) -> Vec<String> {
    let error = |error: &Value| format!("{} {}", error["parameter"].as_str().unwrap(), error["code"].as_str().unwrap());
    problem["errors"].as_array().unwrap().iter().map(error).collect()
}

#[tokio::test]
async fn every_wrong_parameter_has_its_code() {
    let shop = Shop::open_with(&[("acme", "Europe/Berlin")]).await;
    let client = shop.client("acme").await;
    let today = clock::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let days_ago = |days: i64| (today - days.days()).to_string();
    let (old, older) = (days_ago(500), days_ago(600));
    let cases: Vec<(u16, &str, String)> = vec![
        (400, "bogus unknown_parameter", "bogus=1".to_owned()),
        (400, "filter unknown_parameter", "filter=tea".to_owned()),
        (400, "limit duplicate_parameter", "limit=1&limit=2".to_owned()),
        (400, "from invalid_value", "from=yesterday".to_owned()),
        (400, "from invalid_value", "from=2026-02-30".to_owned()),
        (400, "to invalid_value", "to=2026-03-01T00:00:00%2b24:60".to_owned()),
        (400, "granularity invalid_value", "granularity=P1Q".to_owned()),
        (400, "limit invalid_value", "limit=0".to_owned()),
        (400, "limit invalid_value", "limit=1001".to_owned()),
        (400, "limit invalid_value", "limit=1e2".to_owned()),
        (400, "other invalid_value", "other=yes".to_owned()),
        (400, "fill invalid_value", "fill=null".to_owned()),
        (400, "compare invalid_value", "compare=last_week".to_owned()),
        (400, "filter[item] invalid_value", "filter[item]=a%5Cb".to_owned()),
        (400, "measures invalid_value", "measures=%ff".to_owned()),
        (422, "time_zone unknown_time_zone", "time_zone=Mars/Olympus".to_owned()),
        (422, "measures unknown_measure", "measures=profit".to_owned()),
        (422, "order unknown_measure", "order=-profit".to_owned()),
        (422, "group_by unknown_dimension", "group_by=shop".to_owned()),
        (422, "filter[shop] unknown_dimension", "filter[shop]=a".to_owned()),
        (422, "to empty_range", "from=2026-03-02&to=2026-03-02".to_owned()),
        (422, "to empty_range", "from=2026-03-02&to=2026-03-01".to_owned()),
        (422, "from unaligned_range", "from=2026-03-01T00:10:00Z&to=2026-03-02".to_owned()),
        (422, "to unaligned_range", "from=2026-03-01&to=2026-03-02T00:00:01Z".to_owned()),
        (422, "group_by grouping_not_stored", "group_by=channel".to_owned()),
        (422, "group_by grouping_not_stored", "filter[channel]=web".to_owned()),
        (422, "granularity range_unavailable", format!("from={old}&granularity=PT1H&to={}", days_ago(499))),
        (422, "time_zone range_unavailable", format!("from={older}&to={old}&time_zone=UTC")),
        (422, "from range_unavailable", format!("from={old}T12:00:00Z&to={}", days_ago(1))),
        (422, "compare range_unavailable", format!("from={}T12:00:00Z&to={}&compare=previous_year", days_ago(90), days_ago(1))),
        (422, "granularity query_too_large", format!("from={}&granularity=PT15M", days_ago(150))),
        (422, "from query_too_large", "from=1200-01-01".to_owned()),
    ];
    for (status, expected, query) in cases {
        let answer = client.get(&format!("{VALUES}?{query}")).await;
        let problem = answer.problem();
        assert_eq!((answer.status, errors(&problem)), (status, vec![expected.to_owned()]), "{query}");
        assert_eq!(problem["code"].as_str(), expected.split(' ').nth(1), "{query}");
    }
    shop.close().await;
}

#[tokio::test]
async fn a_grouping_that_is_not_stored_is_refused_naming_those_that_are() {
    let shop = Shop::open().await;
    let client = shop.client("acme").await;
    let problem = client.get(&format!("{VALUES}?group_by=item,channel")).await.problem();
    assert_eq!(problem["errors"][0]["allowed"], json!(["", "item", "item,region", "region"]));
    with_settings!({ sort_maps => true }, {
        assert_json_snapshot!("grouping_not_stored", problem, { ".instance" => "[instance]" });
    });
    for allowed in problem["errors"][0]["allowed"].as_array().unwrap() {
        let answer = client.ask(VALUES, &[("group_by", allowed.as_str().unwrap())]).await;
        assert_eq!(answer.status, 200, "{allowed}");
    }
    shop.close().await;
}

#[tokio::test]
async fn an_answer_of_too_many_cells_is_refused_with_their_number() {
    let shop = Shop::open().await;
    shop.sell(&[Order::new("acme", "o1"), Order::new("acme", "o2").of("mug", "1", "1", "USD")]).await;
    let client = shop.client("acme").await;
    let now = clock::now();
    let date = |ago: i64| (now - SignedDuration::from_hours(24 * ago)).to_zoned(jiff::tz::TimeZone::UTC).date();
    // Two rows, one in each currency, of 60 days and 96 quarters each.
    let query = format!("from={}&to={}&granularity=PT15M&group_by=item", date(59), date(-1));
    let answer = client.get(&format!("{VALUES}?{query}")).await;
    let problem = answer.problem();
    assert_eq!((answer.status, errors(&problem)), (422, vec!["limit query_too_large".to_owned()]));
    assert!(problem["detail"].as_str().unwrap().contains("11520 cells"), "{problem}");
    let rows = client.get(&format!("{VALUES}?{query}&fill=none")).await.json()["data"].as_array().unwrap().len();
    assert_eq!(rows, 2, "what is there is little");
    shop.close().await;
}

#[tokio::test]
async fn all_mistakes_are_told_at_once() {
    let shop = Shop::open().await;
    let client = shop.client("acme").await;
    let query = "from=x&to=2026-03-02T00:00:01Z&granularity=P1Q&measures=profit,units,loss&order=-gain&group_by=shop&bogus=1";
    let answer = client.get(&format!("{VALUES}?{query}")).await;
    let problem = answer.problem();
    // What cannot be read outweighs what has no meaning.
    assert_eq!((answer.status, &problem["code"]), (400, &json!("invalid_parameters")));
    assert_eq!(
        errors(&problem),
        [
            "from invalid_value",
            "to unaligned_range",
            "granularity invalid_value",
            "measures unknown_measure",
            "measures unknown_measure",
            "group_by unknown_dimension",
            "order unknown_measure",
            "bogus unknown_parameter",
        ]
    );
    assert_eq!(problem["errors"][3]["allowed"], json!(["average_order", "orders", "revenue", "unit_price", "units"]));
    // What cannot be answered is told with what cannot be read, and nothing that only follows from it.
    let query = "from=2020-01-01T06:00:00Z&to=2020-02-01&measures=profit&group_by=item,channel&limit=0&compare=last_week";
    let problem = client.get(&format!("{VALUES}?{query}")).await.problem();
    let expected = [
        "measures unknown_measure",
        "limit invalid_value",
        "compare invalid_value",
        "group_by grouping_not_stored",
        "from range_unavailable",
    ];
    assert_eq!(errors(&problem), expected);
    let lines = format!("{VALUES}?group_by=channel&compare=previous_year");
    let problem = client.ask_as(&lines, &[], "text/csv").await.problem();
    assert_eq!(errors(&problem), ["compare invalid_value", "group_by grouping_not_stored"]);
    for path in ["/v1/metrics", "/v1/metrics/sales", "/v1/status", "/v1/quarantine"] {
        let answer = client.get(&format!("{path}?a=1&b=2")).await;
        assert_eq!((answer.status, errors(&answer.problem()).len()), (400, 2), "{path}");
    }
    shop.close().await;
}

#[tokio::test]
async fn unknown_addresses_and_methods_are_problems_too() {
    let shop = Shop::open().await;
    let client = shop.client("acme").await;
    for path in
        ["/", "/v1", "/v2/metrics", "/v1/metrics/", "/v1/metrics/none", "/v1/metrics/none/values", "/v1/metrics/Sales%20/values"]
    {
        let answer = client.get(path).await;
        assert_eq!((answer.status, &answer.problem()["code"]), (404, &json!("not_found")), "{path}");
    }
    let unreadable = client.get("/v1/metrics/%FF").await;
    assert_eq!((unreadable.status, &unreadable.problem()["code"]), (400, &json!("bad_request")));
    for (method, path) in
        [("POST", VALUES), ("PUT", "/v1/metrics/sales"), ("DELETE", "/v1/quarantine/x"), ("PATCH", "/v1/status")]
    {
        let answer = client.send(method.parse().unwrap(), path, &[]).await;
        assert_eq!((answer.status, &answer.problem()["code"]), (405, &json!("method_not_allowed")), "{method} {path}");
        assert_eq!(answer.header("allow"), Some("GET,HEAD"), "{method} {path}");
    }
    shop.close().await;
}

#[tokio::test]
async fn a_database_that_fails_is_a_503_that_says_when_to_come_back_and_nothing_else() {
    let shop = Shop::open().await;
    let client = shop.client("acme").await;
    shop.ingest.stop().await;
    let front = shop.deployment.world.front();
    let hides_its_insides = |answer: &Answer| {
        let told = ["Throughput", "dynamodb", "127.0.0.1", "front", "tidemark-control", "SdkError", "panicked"];
        told.iter().all(|inside| !answer.text.contains(inside))
    };
    let faults =
        [("GetItem", Fault::Throttle), ("GetItem", Fault::ServerError), ("Query", Fault::ServerError), ("GetItem", Fault::Reset)];
    for (call, fault) in faults {
        front.fault(call, When::Matching(Box::new(|_| true)), fault);
        let answer = client.get(VALUES).await;
        assert_eq!((answer.status, &answer.problem()["code"]), (503, &json!("store_unavailable")), "{call} {fault:?}");
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert!(hides_its_insides(&answer), "{}", answer.text);
        front.no_faults();
        assert_eq!(client.get(VALUES).await.status, 200, "it recovers by itself");
    }
    shop.api.stop().await;
}

/// What is asked for with a word about how is not done without it.
#[tokio::test]
async fn what_takes_no_body_ignores_none() {
    let stock = Stock::open().await;
    let (tenant, operator) = (stock.client("acme").await, admin::operator(&stock).await);
    let operations = operations::all(&tenant).await.into_iter().filter(operations::Operation::takes_no_body);
    let operations: Vec<_> = operations.collect();
    assert!(operations.len() >= 8, "{operations:?}");
    for operation in operations {
        let client = if operation.is_operators() { &operator } else { &tenant };
        let send = async |body: Value| client.send_json(operation.method.clone(), &operation.path(), &[], &body).await;
        let refused = send(json!({ "dry_run": true })).await;
        assert_eq!(refused.status, 400, "{operation:?}: {}", refused.text);
        assert_eq!(faults(&refused.problem()), [("dry_run".to_owned(), "unknown_field".to_owned())], "{operation:?}");
        assert_eq!(send(json!({})).await.status, 404, "{operation:?}");
    }
    stock.api.stop().await;
}
