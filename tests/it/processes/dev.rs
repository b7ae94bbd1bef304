//! `tidemark dev` itself: what it prints, what it ignores, how it ends, and what it keeps.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::Client;
use jiff::Timestamp;
use serde_json::Value;
use tidemark_runtime::{aws, clock};
use tidemark_tests::deployment::DEADLINE;
use tidemark_tests::wait_until;

use super::process::{Process, ask, free_port, groups, http, run, shipped, since_yesterday};

/// Longest that a signal may take to end it.
const PROMPT: Duration = Duration::from_secs(5);
const NO_VARIABLES: &[(&str, &str)] = &[];
/// Each would lead a process that heeds it away from its own emulator, or stop it.
const POISON: &[(&str, &str)] = &[
    ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
    ("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:1"),
    ("AWS_PROFILE", "missing"),
    ("AWS_CONFIG_FILE", "/dev/null/missing"),
    ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null/missing"),
    ("AWS_WEB_IDENTITY_TOKEN_FILE", "/dev/null/missing"),
    ("AWS_REGION", "no such region"),
    ("AWS_ACCESS_KEY_ID", "poison"),
    ("AWS_EC2_METADATA_DISABLED", "false"),
    ("AWS_MAX_ATTEMPTS", "none"),
    ("HTTP_PROXY", "http://127.0.0.1:1"),
    ("TIDEMARK_DEFINITIONS", "/dev/null/missing"),
    ("TIDEMARK_TABLE", "other"),
];

/// The arguments of a dev process on free ports.
fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["dev", "--port", "0", "--dynamodb-port", "0"], more].concat()
}

async fn started(process: &mut Process) -> Value {
    let line = process.first_line().await;
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// The text of a field.
fn text<'a>(dev: &'a Value, field: &str) -> &'a str {
    dev[field].as_str().unwrap_or_else(|| panic!("{field}: {dev}"))
}

#[tokio::test]
async fn the_first_line_of_json_names_what_answers_whatever_the_environment_says() {
    let mut process = Process::spawn("tidemark", &with(&["--json"]), POISON);
    let dev = started(&mut process).await;
    let names = |object: &Value| object.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(&dev), ["admin_url", "api_url", "dynamodb_url", "keys", "operator_key"].map(str::to_owned).into());
    assert_eq!(names(&dev["keys"]), ["acme", "demo"].map(str::to_owned).into());
    assert!(text(&dev, "operator_key").starts_with("tdm_"));

    // All of it answers already, and sample orders soon count.
    let http = http();
    let ready = http.get(format!("{}/readyz", text(&dev, "admin_url"))).send().await.unwrap();
    assert_eq!(ready.status(), 200);
    assert!(http.get(text(&dev, "dynamodb_url")).send().await.is_ok());
    let values = format!("{}/v1/metrics/sales/values", text(&dev, "api_url"));
    for tenant in ["acme", "demo"] {
        let key = text(&dev["keys"], tenant);
        wait_until("sample orders to be counted", DEADLINE, async || ask(&values, key).await["totals"][0].is_object()).await;
    }
    assert_eq!(process.stdout().lines().count(), 1, "{}", process.stdout());

    let asked = Instant::now();
    process.signal("-TERM").await;
    let ended = process.ended(PROMPT).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    println!("SIGTERM ended it after {:?}", asked.elapsed());
}

#[tokio::test]
async fn the_lines_it_gives_to_paste_do_what_they_say() {
    for file in ["retail.yaml", "orders-by-item.yaml"] {
        let file = shipped(file);
        let mut process = Process::spawn("tidemark", &with(&["--no-sample-data", "--definitions", &file]), NO_VARIABLES);
        process.first_line().await;
        wait_until("both lines", DEADLINE, async || process.stdout().contains("-d '") && process.stdout().ends_with("\n\n"))
            .await;
        let banner = process.stdout().replace("\\\n", " ");
        let mut commands = banner.lines().filter_map(|line| line.trim_start().strip_prefix("curl ")).map(Request::parse);
        let (values, put) = (commands.next().unwrap(), commands.next().unwrap());
        assert_eq!(values.send().await["data"], Value::Array(Vec::new()));
        put.send().await;
        wait_until("the item to be counted", DEADLINE, async || values.send().await["data"][0]["values"]["units"] == "10").await;
        process.signal("-INT").await;
        assert_eq!(process.ended(PROMPT).await.code, Some(0));
    }
}

#[tokio::test]
async fn a_port_in_use_is_one_line_that_names_the_option() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for (option, other) in [("--port", "--dynamodb-port"), ("--dynamodb-port", "--port")] {
        let ended = run("tidemark", &["dev", option, &port, other, "0"], NO_VARIABLES).await;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        let expected =
            format!("error: cannot listen on 127.0.0.1:{port}: address in use; stop the other process or set {option}");
        assert_eq!(ended.told(), [expected]);
        assert_eq!(ended.stdout, "");
    }
}

#[tokio::test]
async fn the_ports_asked_for_are_the_ports_taken() {
    let (api, dynamodb) = (free_port().await.to_string(), free_port().await.to_string());
    let arguments = ["dev", "--json", "--port", &api, "--dynamodb-port", &dynamodb];
    let dev = started(&mut Process::spawn("tidemark", &arguments, NO_VARIABLES)).await;
    assert_eq!(text(&dev, "api_url"), format!("http://127.0.0.1:{api}"));
    assert_eq!(text(&dev, "dynamodb_url"), format!("http://127.0.0.1:{dynamodb}"));
}

#[tokio::test]
async fn a_data_directory_keeps_the_numbers_through_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("not/yet/there");
    let data = data.to_str().unwrap();
    let mut process = Process::spawn("tidemark", &with(&["--json", "--data-dir", data]), NO_VARIABLES);
    let first = started(&mut process).await;
    let query = format!("/v1/metrics/sales/values?group_by=item&{}", since_yesterday());
    let key = text(&first["keys"], "demo").to_owned();
    let url = format!("{}{query}", text(&first, "api_url"));
    wait_until("many orders", DEADLINE, async || ask(&url, &key).await["data"].as_array().is_some_and(|items| items.len() == 6))
        .await;
    process.kill().await;

    // What the killed worker had not committed is committed after the restart; a second one changes nothing.
    for _ in 0..2 {
        let arguments = with(&["--json", "--no-sample-data", "--data-dir", data]);
        let mut process = Process::spawn("tidemark", &arguments, NO_VARIABLES);
        let dev = started(&mut process).await;
        let expected = units_of_demo(text(&dev, "dynamodb_url")).await;
        assert_eq!(expected.len(), 6);
        // The key of the first run is good still.
        let url = format!("{}{query}", text(&dev, "api_url"));
        let answered = async || groups(&ask(&url, &key).await, "item", "units") == expected;
        wait_until("the numbers to equal the orders that are there", DEADLINE, answered).await;
        let begun = clock::now();
        wait_until("the worker to be past the restart", DEADLINE, async || {
            let answer = ask(&url, &key).await;
            answer["freshness"]["watermark"].as_str().is_some_and(|watermark| watermark.parse::<Timestamp>().unwrap() > begun)
        })
        .await;
        assert!(answered().await, "something was counted twice: {expected:?}");
        process.kill().await;
    }
}

#[tokio::test]
async fn a_data_directory_has_one_process_and_the_definitions_it_was_begun_with() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let data = data.to_str().unwrap();
    let first = with(&["--json", "--no-sample-data", "--data-dir", data]);
    let mut process = Process::spawn("tidemark", &first, NO_VARIABLES);
    started(&mut process).await;
    let second = run("tidemark", &first, NO_VARIABLES).await;
    let told = format!("error: --data-dir {data} is in use by another `tidemark dev`: stop that one, or give another directory");
    assert_eq!((second.code, second.told()), (Some(1), vec![told.as_str()]), "{second:?}");
    process.kill().await;

    let file = folder.path().join("changed.yaml");
    let retail = std::fs::read_to_string(shipped("retail.yaml")).unwrap();
    std::fs::write(&file, retail.replace("{ sum: quantity }", "{ sum: pieces }")).unwrap();
    let changed = [&first[..], &["--definitions", file.to_str().unwrap()]].concat();
    let ended = run("tidemark", &changed, NO_VARIABLES).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let told = ended.told();
    assert!(told[0].starts_with("error: metric `sales`: "), "{told:?}");
    assert!(told[told.len() - 1].ends_with(&format!("or use another --data-dir than {data}")), "{told:?}");
}

#[tokio::test]
async fn webhooks_that_arrive_are_logged_beside_the_line_of_json_and_a_kept_endpoint_leads_to_each_runs_receiver() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = with(&["--json", "--data-dir", folder.path().to_str().unwrap()]);
    let mut seen = BTreeSet::new();
    for _ in 0..2 {
        let mut process = Process::spawn("tidemark", &arguments, NO_VARIABLES);
        let dev = started(&mut process).await;
        let arrived = process.until_logged("a webhook arrived").await;
        assert_eq!(arrived["verified"], true, "{arrived}");
        assert_eq!(process.stdout().lines().count(), 1, "{}", process.stdout());
        let url = format!("{}/v1/webhook-endpoints", text(&dev, "api_url"));
        let endpoints = ask(&url, text(&dev["keys"], "demo")).await;
        let [endpoint] = &endpoints["data"].as_array().unwrap()[..] else { panic!("one endpoint: {endpoints}") };
        seen.insert((text(endpoint, "id").to_owned(), text(endpoint, "url").to_owned()));
        process.signal("-INT").await;
        let ended = process.ended(PROMPT).await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(!ended.stderr.contains("whsec_") && !ended.stderr.contains("no webhook of ours"), "{}", ended.stderr);
    }
    let ids: BTreeSet<_> = seen.iter().map(|(id, _)| id).collect();
    assert_eq!((ids.len(), seen.len()), (1, 2), "one endpoint, two URLs: {seen:?}");
}

/// Units of the tenant `demo` by item, added up from the sample orders that are there.
async fn units_of_demo(url: &str) -> BTreeMap<String, String> {
    let scan = Client::new(&aws::at_endpoint(url, "any")).scan().table_name("Order_by_item").into_paginator().items().send();
    let mut units = BTreeMap::<String, u64>::new();
    for order in scan.try_collect().await.unwrap() {
        let text = |name: &str| order[name].as_s().unwrap().as_str();
        if text("tenant_id") == "demo" && text("status") != "cancelled" {
            *units.entry(text("item_number").to_owned()).or_default() +=
                order["quantity"].as_n().unwrap().parse::<u64>().unwrap();
        }
    }
    units.into_iter().map(|(item, units)| (item, units.to_string())).collect()
}

/// A request as `curl` takes it: a URL, `-H` headers, and `-d` for the body of a POST.
struct Request {
    url: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
}

impl Request {
    fn parse(arguments: &str) -> Self {
        let mut words = words(arguments).into_iter();
        let mut request = Self { url: String::new(), headers: Vec::new(), body: None };
        while let Some(word) = words.next() {
            match word.as_str() {
                "-H" => {
                    let header = words.next().unwrap();
                    let (name, value) = header.split_once(": ").unwrap();
                    request.headers.push((name.to_owned(), value.to_owned()));
                }
                "-d" => request.body = Some(words.next().unwrap()),
                _ => request.url = word,
            }
        }
        request
    }

    async fn send(&self) -> Value {
        let http = http();
        let request = match &self.body {
            None => http.get(&self.url),
            Some(body) => http.post(&self.url).body(body.clone()),
        };
        let request = self.headers.iter().fold(request, |request, (name, value)| request.header(name, value));
        let answer = request.send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{status}: {text}");
        serde_json::from_str(&text).unwrap()
    }
}

/// The words of a command line that quotes with `'` alone.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in line.split('\'').enumerate() {
        if index % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}
