//! Webhook endpoints: made with a secret that is shown once, judged by their URL, changed, tested and recovered. ALERTS §4.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use tidemark_domain::{EndpointId, EventId};
use tidemark_store::{JobKind, Work};
use tidemark_tests::deployment::{DEADLINE, tables};
use tidemark_tests::wait_until;
use tidemark_webhooks::secret::Secret;
use tidemark_webhooks::sign::Secrets;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::stock::{Stock, due, faults, in_seconds, tenant};

pub(super) const ENDPOINTS: &str = "/v1/webhook-endpoints";

/// A URL that is allowed and that nobody listens at: port 9 is the discard protocol's.
pub(super) const NOWHERE: &str = "http://127.0.0.1:9/hooks";

/// Answers every request in the same way and remembers them.
struct Receiver {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Receiver {
    async fn answering(status: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hooks", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, mut tasks) = (Arc::clone(&requests), JoinSet::new());
        tasks.spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"}") {
                    let mut part = [0; 4096];
                    let read = stream.read(&mut part).await.unwrap();
                    assert!(read > 0, "the request ends early");
                    request.extend_from_slice(&part[..read]);
                }
                seen.lock().unwrap().push(String::from_utf8(request).unwrap());
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 4\r\nconnection: close\r\n\r\nseen");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Self { url, requests, _tasks: tasks }
    }

    /// The last request: its headers and its body.
    fn last(&self) -> (Vec<(String, String)>, String) {
        let request = self.requests.lock().unwrap().last().cloned().expect("a request");
        let (head, body) = request.split_once("\r\n\r\n").expect("a head and a body");
        let headers = head.lines().skip(1).filter_map(|line| line.split_once(": "));
        (headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect(), body.to_owned())
    }

    fn header(&self, name: &str) -> String {
        let (headers, _) = self.last();
        headers.into_iter().find(|(header, _)| header == name).map(|(_, value)| value).unwrap_or_default()
    }
}

#[tokio::test]
async fn an_endpoint_is_made_shown_changed_and_deleted_and_its_secret_is_shown_once() {
    let stock = Stock::open().await;
    let client = stock.client("acme").await;
    let body = json!({ "url": NOWHERE, "event_types": ["webhook.ping", "inventory.alert.fired"], "headers": { "X-Team": "a" } });
    let answer = client.post(ENDPOINTS, &body).await;
    let mut made = answer.json_of(201);
    let path = format!("{ENDPOINTS}/{}", made["id"].as_str().unwrap());
    assert_eq!(answer.header("location"), Some(path.as_str()));
    assert_eq!(client.get(&path).await.header("etag"), answer.header("etag"), "the tag is of what is shown, without the secret");
    let secret = made.as_object_mut().unwrap().remove("secret").unwrap();
    let secret = secret.as_str().unwrap();
    assert!(secret.starts_with("whsec_") && secret.len() == 50);
    let expected = json!({
        "id": made["id"], "url": NOWHERE, "event_types": ["inventory.alert.fired", "webhook.ping"], "description": null,
        "headers": { "x-team": "a" }, "state": "enabled", "disabled_reason": null, "disabled_at": null, "health": "healthy",
        "previous_secret_until": null, "created_at": made["created_at"], "updated_at": made["updated_at"], "version": 1,
    });
    assert_eq!(made, expected);
    assert_eq!(client.get(&path).await.json(), made);
    assert_eq!(client.get(ENDPOINTS).await.json()["data"], json!([made]));
    let stored = stock.deployment.world.dynamodb().scan().table_name(tables().data).send().await.unwrap();
    assert!(!format!("{stored:?}").contains(&secret["whsec_".len()..]), "it is stored sealed");

    // Headers are merged by name, whatever its case; the secret stays for another URL.
    let sealed = async || {
        let id = EndpointId::new(made["id"].as_str().unwrap()).unwrap();
        stock.deployment.store.endpoint(&tenant("acme"), &id).await.unwrap().unwrap().secret
    };
    let before = sealed().await;
    let patch = json!({
        "url": "https://127.0.0.2/other", "event_types": null, "description": "ours", "headers": { "X-TEAM": null, "x-b": "1" },
    });
    let changed = client.patch(&path, &patch).await.json();
    assert_eq!(
        (&changed["url"], &changed["event_types"], &changed["headers"]),
        (&json!("https://127.0.0.2/other"), &json!(null), &json!({ "x-b": "1" }))
    );
    assert_eq!((&changed["version"], sealed().await == before), (&json!(2), true));
    let stale = client.send_json(Method::PATCH, &path, &[("if-match", "\"1\"")], &json!({ "description": "x" })).await;
    assert_eq!((stale.status, &stale.problem()["code"]), (412, &json!("precondition_failed")));
    assert_eq!(client.delete(&path).await.status, 204);
    assert_eq!(client.get(&path).await.problem()["code"], "not_found");
    stock.api.stop().await;
}

#[tokio::test]
async fn every_mistake_in_an_endpoint_is_told_at_once_and_no_url_leads_into_our_network() {
    let stock = Stock::open().await;
    let client = stock.client("acme").await;
    let refused = async |body: Value| faults(&client.post(ENDPOINTS, &body).await.problem());
    let both = json!({ "url": "ftp://x", "event_types": ["inventory.low"], "headers": { "Host": "x", "Via": "y", "x-a": "1" }, "secret": "whsec_x" });
    let pairs = |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect::<Vec<_>>();
    let expected = [
        ("event_types[0]", "invalid_value"),
        ("headers", "header_refused"),
        ("headers", "header_refused"),
        ("url", "url_refused"),
        ("secret", "unknown_field"),
    ];
    assert_eq!(refused(both).await, pairs(&expected));
    assert_eq!(refused(json!({ "event_types": [] })).await, pairs(&[("url", "missing_field"), ("event_types", "invalid_value")]));
    let made = client.post(ENDPOINTS, &json!({ "url": NOWHERE })).await.json_of(201);
    let path = format!("{ENDPOINTS}/{}", made["id"].as_str().unwrap());
    for url in [
        "http://169.254.169.254/latest/meta-data",
        "https://10.0.0.1/",
        "https://[::1]/",
        "https://2130706433.0/",
        "https://0x7f.1:70000/",
        "https://[::ffff:10.0.0.1]/",
        "https://u:p@127.0.0.1/",
        "https://127.0.0.1/#x",
        "http://8.8.8.8/",
        "https://8.8.8.8/",
        "127.0.0.1",
        "https://127.0.0.1/ x",
        "javascript:alert(1)",
    ] {
        for answer in [client.post(ENDPOINTS, &json!({ "url": url })).await, client.patch(&path, &json!({ "url": url })).await] {
            let problem = answer.problem();
            assert_eq!((answer.status, faults(&problem)), (422, pairs(&[("url", "url_refused")])), "{url}: {problem}");
        }
    }
    // What the operator allows is allowed in any spelling.
    for url in ["http://127.1:8080/", "https://0x7f000001/"] {
        client.post(ENDPOINTS, &json!({ "url": url })).await.json_of(201);
    }
    stock.api.stop().await;
}

#[tokio::test]
async fn a_tenant_has_so_many_endpoints_and_no_more() {
    let stock = Stock::open().await;
    let (client, rival) = (stock.client("acme").await, stock.client("rival").await);
    let body = json!({ "url": NOWHERE });
    for _ in 0..tidemark_store::ENDPOINTS_MAX {
        client.post(ENDPOINTS, &body).await.json_of(201);
    }
    let answer = client.post(ENDPOINTS, &body).await;
    assert_eq!((answer.status, &answer.problem()["code"]), (422, &json!("quota_exceeded")));
    rival.post(ENDPOINTS, &body).await.json_of(201);
    let (sizes, all) = Stock::pages(&client, ENDPOINTS, 20).await;
    let ids: Vec<&str> = all.iter().map(|endpoint| endpoint["id"].as_str().unwrap()).collect();
    assert_eq!((sizes, ids.iter().collect::<BTreeSet<_>>().len()), (vec![20, 20, 10], 50));
    assert_eq!(client.delete(&format!("{ENDPOINTS}/{}", ids[7])).await.status, 204);
    client.post(ENDPOINTS, &body).await.json_of(201);
    stock.api.stop().await;
}

/// Nobody changes the endpoint, and yet it shows something else: that the secret from before signs along no more.
#[tokio::test]
async fn the_tag_of_an_endpoint_changes_with_all_that_it_shows_and_changes_depend_on_its_version() {
    let stock = Stock::open().await;
    let client = stock.client("acme").await;
    let made = client.post(ENDPOINTS, &json!({ "url": NOWHERE })).await.json_of(201);
    let path = format!("{ENDPOINTS}/{}", made["id"].as_str().unwrap());
    let rotated = client.post(&format!("{path}/rotate-secret"), &json!({ "grace": "PT3S" })).await;
    let tag = rotated.header("etag").unwrap().to_owned();
    let unless_known = async || client.send(Method::GET, &path, &[("if-none-match", &tag)]).await;
    wait_until("the secret from before to end", DEADLINE, async || {
        let answer = unless_known().await;
        assert!(answer.status == 304 || answer.json()["previous_secret_until"] == json!(null), "{}", answer.text);
        answer.status == 200
    })
    .await;
    let shown = client.get(&path).await;
    assert_ne!(shown.header("etag"), Some(tag.as_str()));
    assert_eq!(shown.json()["version"], rotated.json()["version"]);
    let patch = async |tag: &str| client.send_json(Method::PATCH, &path, &[("if-match", tag)], &json!({ "url": NOWHERE })).await;
    for admitted in [&tag, shown.header("etag").unwrap(), "\"2\""] {
        assert_eq!(patch(admitted).await.status, 200, "{admitted}");
    }
    assert_eq!(patch(&tag.replace("\"2.", "\"1.")).await.status, 412);
    stock.api.stop().await;
}

/// Whether a test's signature holds for these secrets, the newest first.
fn is_signed_by(receiver: &Receiver, secrets: &[&str]) -> bool {
    let secret = |text: &&str| Secret::parse(text).unwrap();
    let mut secrets = secrets.iter().map(secret);
    let secrets = Secrets { current: secrets.next().unwrap(), previous: secrets.next() };
    let id = EventId::new(&receiver.header("webhook-id")).unwrap();
    let at = Timestamp::from_second(receiver.header("webhook-timestamp").parse().unwrap()).unwrap();
    let signed = secrets.sign(id, at, receiver.last().1.into_bytes().into());
    signed.headers().iter().all(|(name, value)| receiver.header(name) == *value)
}

#[tokio::test]
async fn a_test_says_what_came_of_it_and_is_signed_with_what_is_live() {
    let stock = Stock::open().await;
    let client = stock.client("acme").await;
    let receiver = Receiver::answering("200 OK").await;
    let made = client.post(ENDPOINTS, &json!({ "url": receiver.url, "headers": { "x-team": "a" } })).await.json_of(201);
    let path = format!("{ENDPOINTS}/{}", made["id"].as_str().unwrap());
    let test = async || client.send(Method::POST, &format!("{path}/test"), &[]).await.json();
    let secret_of = |answer: &Value| answer["secret"].as_str().unwrap().to_owned();
    let first = secret_of(&made);
    let told = test().await;
    assert_eq!((&told["outcome"], &told["status"], &told["body"]), (&json!("delivered"), &json!(200), &json!("seen")));
    assert_eq!(
        (receiver.header("webhook-id"), receiver.header("x-team")),
        (told["webhook_id"].as_str().unwrap().to_owned(), "a".to_owned())
    );
    assert_eq!(
        (receiver.header("tidemark-webhook-trigger"), receiver.header("tidemark-webhook-attempt")),
        ("test".into(), "1".into())
    );
    let sent: Value = serde_json::from_str(&receiver.last().1).unwrap();
    assert_eq!((&sent["type"], &sent["data"]), (&json!("webhook.ping"), &json!({ "endpoint_id": made["id"] })));
    assert!(is_signed_by(&receiver, &[&first]) && !is_signed_by(&receiver, &["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]));

    // While a secret from before is live, a third would take it away: only by force.
    let rotate = async |body: Value| client.post(&format!("{path}/rotate-secret"), &body).await;
    let rotated = rotate(json!({})).await.json();
    let second = secret_of(&rotated);
    let until: Timestamp = rotated["previous_secret_until"].as_str().unwrap().parse().unwrap();
    assert_eq!(until.duration_since(rotated["updated_at"].as_str().unwrap().parse().unwrap()).as_hours(), 24);
    test().await;
    assert!(is_signed_by(&receiver, &[&second, &first]));
    assert_eq!(rotate(json!({})).await.problem()["code"], "secrets_live");
    let third = secret_of(&rotate(json!({ "force": true, "grace": "P1D" })).await.json());
    test().await;
    assert!(is_signed_by(&receiver, &[&third, &second]));
    let fourth = rotate(json!({ "force": true, "grace": "PT0S" })).await.json();
    assert_eq!(fourth["previous_secret_until"], json!(null), "the one before ends at once");
    test().await;
    assert!(is_signed_by(&receiver, &[&secret_of(&fourth)]));
    for (body, fault) in [(json!({ "grace": "P8D" }), "unfit_duration"), (json!({ "grace": "1 day" }), "invalid_value")] {
        assert_eq!(faults(&rotate(body).await.problem()), [("grace".to_owned(), fault.to_owned())]);
    }
    stock.api.stop().await;
}

#[tokio::test]
async fn a_test_that_fails_is_an_answer_too() {
    let stock = Stock::open().await;
    let client = stock.client("acme").await;
    let test = async |url: &str| {
        let made = client.post(ENDPOINTS, &json!({ "url": url })).await.json_of(201);
        let path = format!("{ENDPOINTS}/{}", made["id"].as_str().unwrap());
        let told = client.send(Method::POST, &format!("{path}/test"), &[]).await.json();
        assert_eq!(client.get(&path).await.json()["health"], "healthy", "a test is not held against it");
        assert_eq!(client.get(&format!("{path}/deliveries")).await.json()["data"], json!([]), "nor listed");
        (told["outcome"].as_str().unwrap().to_owned(), told["status"].clone())
    };
    for (status, outcome, code) in [
        ("500 Oops", "http_status", 500),
        ("302 Found", "redirect", 302),
        ("410 Gone", "gone", 410),
        ("204 No Content", "delivered", 204),
    ] {
        let receiver = Receiver::answering(status).await;
        assert_eq!(test(&receiver.url).await, (outcome.to_owned(), json!(code)));
    }
    assert_eq!(test(NOWHERE).await, ("connect".to_owned(), json!(null)));
    stock.api.stop().await;
}

#[tokio::test]
async fn an_endpoint_is_switched_off_and_on_and_what_it_missed_is_a_job() {
    let stock = Stock::open().await;
    let client = stock.client("acme").await;
    let made = client.post(ENDPOINTS, &json!({ "url": NOWHERE })).await.json_of(201);
    let path = format!("{ENDPOINTS}/{}", made["id"].as_str().unwrap());
    let switch = async |word: &str| client.send(Method::POST, &format!("{path}/{word}"), &[]).await.json();
    let recover = async |body: Value| client.post(&format!("{path}/recover"), &body).await;
    let off = switch("disable").await;
    assert_eq!((&off["state"], &off["disabled_reason"], &off["version"]), (&json!("disabled"), &json!("manual"), &json!(2)));
    assert_eq!(switch("disable").await, off);
    let span = json!({ "since": in_seconds(-3600) });
    let refused = recover(span.clone()).await;
    assert_eq!((refused.status, &refused.problem()["code"]), (409, &json!("endpoint_disabled")));
    let on = switch("enable").await;
    assert_eq!((&on["state"], &on["disabled_at"], &on["version"]), (&json!("enabled"), &json!(null), &json!(3)));
    assert_eq!(switch("enable").await, on);

    for (body, status, faulty) in [
        (json!({ "since": in_seconds(-31 * 86_400) }), 422, "unfit_instant"),
        (json!({ "since": in_seconds(-10), "until": in_seconds(-20) }), 422, "unfit_instant"),
        (json!({ "until": in_seconds(0) }), 400, "missing_field"),
    ] {
        let problem = recover(body).await.problem();
        assert_eq!((&problem["status"], faults(&problem)), (&json!(status), vec![("since".to_owned(), faulty.to_owned())]));
    }
    let started = recover(span.clone()).await.json_of(202);
    let due = due(&stock.deployment).await;
    let work: Vec<Work> = due.into_iter().map(|due| due.work).collect();
    let [Work::Job(id)] = &work[..] else { panic!("one job: {work:?}") };
    let kind = stock.deployment.store.job(&tenant("acme"), id).await.unwrap().expect("stored").kind;
    let JobKind::Recover { endpoint, since, until } = kind else { panic!("{kind:?}") };
    assert_eq!((json!(endpoint), json!(since)), (made["id"].clone(), span["since"].clone()));
    let links = json!({ "deliveries": format!("/v1/webhook-endpoints/{endpoint}/deliveries") });
    assert_eq!(started, json!({ "since": since, "until": until, "links": links }), "what is being done is what is told");
    stock.api.stop().await;
}
