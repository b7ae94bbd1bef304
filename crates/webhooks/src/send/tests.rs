//! Attempts against real receivers on loopback: well-behaved ones here, hostile ones and TLS in the files below.

mod hostile;
mod receiver;
mod tls;

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use standardwebhooks::Webhook;
use tidemark_domain::EventId;

use super::*;
use crate::schedule;
use crate::secret::Secret;
use crate::sign::Secrets;
use receiver::{Receiver, Reply};

const ID: &str = "evt_01ARZ3NDEKTSV4RRFFQ69G5FAV";
const BODY: &str = r#"{"type":"webhook.ping"}"#;
/// For the tests that wait for a limit. All others have the standard ones, which no healthy test comes near.
const SHORT: Timeouts =
    Timeouts { resolve: Duration::from_millis(200), connect: Duration::from_millis(200), exchange: Duration::from_millis(400) };

/// Answers with each of its lists in turn, then with the last one again and again; counts how often it was asked.
struct Scripted {
    answers: Mutex<VecDeque<Vec<IpAddr>>>,
    asked: Mutex<usize>,
}

impl Scripted {
    fn new(answers: &[&[&str]]) -> Arc<Self> {
        let list = |texts: &&[&str]| texts.iter().map(|text| text.parse().expect("an address")).collect();
        Arc::new(Self { answers: Mutex::new(answers.iter().map(list).collect()), asked: Mutex::new(0) })
    }

    fn asked(&self) -> usize {
        *self.asked.lock().expect("no panic held it")
    }
}

impl Resolve for Scripted {
    fn resolve<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, resolve::Error>> {
        *self.asked.lock().expect("no panic held it") += 1;
        let mut answers = self.answers.lock().expect("no panic held it");
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        async { Ok(answer.expect("a script has an answer")) }.boxed()
    }
}

/// Never answers, or says that nobody does.
enum Dead {
    Silent,
    NoAddress,
    NoResolver,
}

impl Resolve for Dead {
    fn resolve<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, resolve::Error>> {
        let cause = || Box::new(io::Error::other("scripted"));
        match self {
            Self::Silent => std::future::pending().boxed(),
            Self::NoAddress => async move { Err(resolve::Error::NoAddress(cause())) }.boxed(),
            Self::NoResolver => async move { Err(resolve::Error::NoResolver(cause())) }.boxed(),
        }
    }
}

fn policy(allow: &str) -> UrlPolicy {
    UrlPolicy::new(allow.parse().expect("a list"), "".parse().expect("a list"))
}

fn sender(resolver: Arc<dyn Resolve>) -> Sender {
    Sender::trusting(RootCertStore::empty(), policy("127.0.0.0/8"), resolver, "1.2.3")
}

fn request(url: String) -> Request {
    request_with(url, &Secrets { current: Secret::generate(), previous: None })
}

fn request_with(url: String, secrets: &Secrets) -> Request {
    let id = EventId::new(ID).expect("an id");
    let message = secrets.sign(id, tidemark_runtime::clock::now(), Bytes::from_static(BODY.as_bytes()));
    Request { url, message, headers: CustomHeaders::default(), attempt: 3, trigger: Trigger::Scheduled }
}

/// One attempt on a receiver that answers like this.
async fn attempt_on(reply: Reply) -> Attempt {
    let receiver = Receiver::start(reply).await;
    sender(Scripted::new(&[&[]])).send(&request(receiver.url())).await
}

#[tokio::test]
async fn a_receiver_gets_the_signed_bytes_and_every_header() {
    let receiver = Receiver::start(Reply::status("200 OK", "thanks")).await;
    let secrets = Secrets { current: Secret::generate(), previous: Some(Secret::generate()) };
    let mut request = request_with(receiver.url(), &secrets);
    request.headers = CustomHeaders::new([("X-Team".into(), "stock".into())]).expect("safe");
    let attempt = sender(Scripted::new(&[&[]])).send(&request).await;
    assert_eq!((attempt.outcome, attempt.status, attempt.snippet.as_str()), (Outcome::Delivered, Some(200), "thanks"));
    assert_eq!((attempt.peer, attempt.retry_after), (Some([127, 0, 0, 1].into()), None));

    let [received] = receiver.received().try_into().expect("one request");
    assert_eq!((received.line.as_str(), received.body.as_slice()), ("POST /hook HTTP/1.1", BODY.as_bytes()));
    for (name, value) in [
        ("content-type", "application/json"),
        ("accept-encoding", "identity"),
        ("user-agent", "Tidemark-Webhooks/1.2.3"),
        ("webhook-id", ID),
        ("tidemark-webhook-attempt", "3"),
        ("tidemark-webhook-trigger", "scheduled"),
        ("x-team", "stock"),
    ] {
        assert_eq!(received.headers[name], value);
    }
    for absent in ["cookie", "referer", "traceparent", "proxy-authorization"] {
        assert!(!received.headers.contains_key(absent), "{absent}");
    }
    for secret in [Some(&secrets.current), secrets.previous.as_ref()].into_iter().flatten() {
        let oracle = Webhook::from_bytes(secret.bytes().to_vec()).expect("a secret");
        oracle.verify(&received.body, &received.headers).expect("the official library accepts it");
    }
}

#[tokio::test]
async fn the_status_decides() {
    let table = [
        ("200 OK", Outcome::Delivered),
        ("202 Accepted", Outcome::Delivered),
        ("204 No Content", Outcome::Delivered),
        ("304 Not Modified", Outcome::Redirect),
        ("400 Bad Request", Outcome::HttpStatus),
        ("410 Gone", Outcome::Gone),
        ("429 Too Many Requests", Outcome::HttpStatus),
        ("500 Internal Server Error", Outcome::HttpStatus),
    ];
    for (status, outcome) in table {
        let attempt = attempt_on(Reply::status(status, "")).await;
        let number = status[..3].parse().ok();
        assert_eq!((attempt.outcome, attempt.status), (outcome, number), "{status}");
    }
}

#[tokio::test]
async fn a_receiver_that_is_busy_says_for_how_long_in_any_odd_form() {
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let table = [
        ("120", seconds(120)),
        ("99999999999999999999", Some(schedule::WAIT_MAX)),
        ("Thu, 01 Jan 1970 00:00:00 GMT", seconds(0)),
        ("Fri, 31 Dec 9999 23:59:59 GMT", Some(schedule::WAIT_MAX)),
        ("1e17", None),
        ("inf", None),
        ("-1", None),
        ("", None),
        ("\u{fffd}", None),
    ];
    for (asked, expected) in table {
        let head = format!("HTTP/1.1 429 Too Many Requests\r\nretry-after: {asked}\r\ncontent-length: 0\r\n\r\n");
        let attempt = attempt_on(Reply::Raw(head.into_bytes())).await;
        assert_eq!((attempt.outcome, attempt.retry_after), (Outcome::HttpStatus, expected), "{asked}");
    }
}

#[tokio::test]
async fn names_without_an_address_are_told_from_name_servers_that_are_silent() {
    for (resolver, outcome, ours) in [
        (Dead::NoAddress, Outcome::Dns, false),
        (Dead::NoResolver, Outcome::NoResolver, true),
        (Dead::Silent, Outcome::NoResolver, true),
    ] {
        let attempt = sender(Arc::new(resolver)).with_timeouts(SHORT).send(&request("http://receiver.test/".into())).await;
        assert_eq!((attempt.outcome, attempt.outcome.is_ours(), attempt.peer), (outcome, ours, None));
    }
    let attempt = sender(Scripted::new(&[&[]])).send(&request("http://receiver.test/".into())).await;
    assert_eq!(attempt.outcome, Outcome::Dns, "an empty answer is none");
}

#[tokio::test]
async fn a_closed_port_is_the_receivers_and_a_missing_route_is_ours() {
    let receiver = Receiver::start(Reply::status("200 OK", "")).await;
    let url = receiver.url();
    receiver.stop().await;
    let attempt = sender(Scripted::new(&[&[]])).send(&request(url)).await;
    assert_eq!((attempt.outcome, attempt.status, attempt.peer), (Outcome::Connect, None, Some([127, 0, 0, 1].into())));

    // Nobody has a route for TCP to everybody.
    let everywhere = Sender::trusting(RootCertStore::empty(), policy("255.255.255.255/32"), Scripted::new(&[&[]]), "1");
    let attempt = everywhere.send(&request("http://255.255.255.255/".into())).await;
    assert_eq!((attempt.outcome, attempt.outcome.is_ours()), (Outcome::Local, true));
}

#[tokio::test]
async fn a_host_that_only_ipv6_leads_to_is_no_fault_of_ours_where_there_is_none() {
    let allowing = |resolver| Sender::trusting(RootCertStore::empty(), policy("127.0.0.0/8, 2001:db8::/32"), resolver, "1");
    // No host answers there. Where this machine has a route for IPv6, that is found out by waiting.
    let attempt =
        allowing(Scripted::new(&[&["2001:db8::1"]])).with_timeouts(SHORT).send(&request("http://six.test/".into())).await;
    assert!(!attempt.outcome.is_ours(), "{attempt:?}");

    let receiver = Receiver::start(Reply::status("200 OK", "")).await;
    let url = format!("http://both.test:{}/hook", receiver.port());
    receiver.stop().await;
    let attempt = allowing(Scripted::new(&[&["127.0.0.1", "2001:db8::1"]])).with_timeouts(SHORT).send(&request(url)).await;
    assert!(!attempt.outcome.is_ours(), "a closed port is the receiver's, whatever other addresses it has: {attempt:?}");
}

#[test]
fn every_outcome_reads_back_from_its_text() {
    for outcome in Outcome::ALL {
        let text = serde_json::to_string(&outcome).expect("a string");
        assert_eq!(text, format!("\"{outcome}\""));
        assert_eq!(serde_json::from_str::<Outcome>(&text).expect("its own text"), outcome);
    }
    assert!("ok".parse::<Outcome>().is_err());
}

#[test]
fn tenants_see_no_difference_between_no_address_and_one_that_is_denied() {
    let hidden: Vec<Outcome> = Outcome::ALL.into_iter().filter(|outcome| outcome.shown() != *outcome).collect();
    assert_eq!((hidden, Outcome::DeniedAddress.shown()), (vec![Outcome::DeniedAddress], Outcome::Dns));
}

#[test]
fn a_snippet_is_text_of_a_kibibyte_at_most() {
    assert_eq!(snippet(b"fine"), "fine");
    assert_eq!(snippet(&[0xff; 5000]).len(), SNIPPET_MAX / 3 * 3, "each unreadable byte becomes three");
    let cut = snippet("é".repeat(SNIPPET_MAX).as_bytes());
    assert_eq!((cut.len(), cut.chars().all(|c| c == 'é')), (SNIPPET_MAX, true));
    assert!(snippet(format!("a{}", "é".repeat(SNIPPET_MAX)).as_bytes()).len() <= SNIPPET_MAX);
}
