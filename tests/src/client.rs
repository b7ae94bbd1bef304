//! The API in this process, and clients of it over real HTTP.

use std::time::Duration;

use aws_types::SdkConfig;
use secrecy::ExposeSecret;
use serde_json::Value;
use tidemark_api::{Api, EdgeSettings, Rate, Rates, Settings};
use tidemark_domain::{Definitions, TenantId};
use tidemark_runtime::clock;
use tidemark_store::{Holder, KeySigner, NewKey, Scope, Tenant};
use tidemark_webhooks::policy::Networks;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::deployment::{networks_allowed, secret_keys, tables};
use crate::{Deployment, Workload, wait_until};

/// An API running in this process. It ends when this is dropped.
pub struct RunningApi {
    url: String,
    http: reqwest::Client,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

/// A client with one key, or none.
#[derive(Debug, Clone)]
pub struct Client {
    url: String,
    http: reqwest::Client,
    key: Option<String>,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Deployment {
    /// Starts an API through the front, on a port of its own.
    pub async fn start_api(&self) -> RunningApi {
        self.start_api_with(&self.definitions).await
    }

    /// Starts an API with another file.
    pub async fn start_api_with(&self, file: &Definitions) -> RunningApi {
        RunningApi::start(&self.world.config_of(Workload::Api), file).await
    }

    /// Starts an API whose edge is another.
    pub async fn start_api_at(&self, edge: EdgeSettings) -> RunningApi {
        RunningApi::start_as(&self.world.config_of(Workload::Api), &Settings { edge, ..settings() }, &self.definitions).await
    }

    /// A new key of a tenant's, with every scope it can have.
    pub async fn key_of(&self, tenant: &str) -> String {
        let holder = Holder::Tenant(Tenant::named_by_operator(TenantId::new(tenant).expect("a tenant id")));
        self.issue(&NewKey { holder, scopes: Scope::of_tenants(), name: None, expires_at: None }).await
    }

    /// A new key, signed as the API signs it.
    ///
    /// # Panics
    /// When it cannot be stored.
    pub async fn issue(&self, key: &NewKey) -> String {
        self.issue_by(Some(&key_signer()), key).await
    }

    /// A new key by another signer, or by none.
    ///
    /// # Panics
    /// When it cannot be stored.
    pub async fn issue_by(&self, signer: Option<&KeySigner>, key: &NewKey) -> String {
        let issued = self.store.create_key(key, signer, clock::now()).await.expect("a key can be stored");
        issued.key.expose_secret().to_owned()
    }
}

impl RunningApi {
    /// Starts an API over the tables that a configuration leads to, on a port of its own.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(config: &SdkConfig, file: &Definitions) -> Self {
        Self::start_as(config, &settings(), file).await
    }

    /// Starts an API with other settings, too.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_as(config: &SdkConfig, settings: &Settings, file: &Definitions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let api = Api::start(config, settings, file).await.unwrap_or_else(|error| panic!("{error:?}"));
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let shutdown = stop.clone();
        tasks.spawn(api.serve(listener, shutdown));
        Self { url, http: reqwest::Client::new(), stop, tasks }
    }

    /// A client with a key.
    pub fn client(&self, key: impl Into<String>) -> Client {
        Client { key: Some(key.into()), ..self.stranger() }
    }

    /// A client without a key.
    pub fn stranger(&self) -> Client {
        Client { url: self.url.clone(), http: self.http.clone(), key: None }
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stops it as SIGTERM does, and waits for it.
    ///
    /// # Panics
    /// When it ended before with an error.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("the API ends well");
        }
    }
}

impl Client {
    /// A client of an API that runs elsewhere.
    pub fn at(url: impl Into<String>, key: impl Into<String>) -> Self {
        Self { url: url.into(), http: reqwest::Client::new(), key: Some(key.into()) }
    }

    /// Asks for a path, its query string included, as it stands.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(reqwest::Method::GET, path, &[]).await
    }

    /// Asks for a path with parameters, which are encoded.
    pub async fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Answer {
        self.ask_as(path, parameters, "application/json").await
    }

    /// Asks for a form of an answer.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn ask_as(&self, path: &str, parameters: &[(&str, &str)], accept: &str) -> Answer {
        let request = self.request(reqwest::Method::GET, path).query(parameters).header("accept", accept);
        Answer::of(request.send().await.expect("the API answers")).await
    }

    /// Sends a request without a body.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn send(&self, method: reqwest::Method, path: &str, headers: &[(&str, &str)]) -> Answer {
        let request = self.request(method, path);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        Answer::of(request.send().await.expect("the API answers")).await
    }

    /// Sends a request with a JSON body, which says so unless the headers do.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn send_json(&self, method: reqwest::Method, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        let request = self.request(method, path);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        Answer::of(request.json(body).send().await.expect("the API answers")).await
    }

    /// Posts a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send_json(reqwest::Method::POST, path, &[], body).await
    }

    /// Patches with a JSON body.
    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send_json(reqwest::Method::PATCH, path, &[], body).await
    }

    /// Deletes.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send(reqwest::Method::DELETE, path, &[]).await
    }

    /// The numbers of a metric, which must be given.
    pub async fn values(&self, metric: &str, parameters: &[(&str, &str)]) -> Value {
        self.ask(&format!("/v1/metrics/{metric}/values"), parameters).await.json()
    }

    /// Waits until an answer is as it should be, and returns it.
    pub async fn until(&self, what: &str, path: &str, mut holds: impl FnMut(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        wait_until(what, crate::deployment::DEADLINE, async || {
            last = self.get(path).await.json();
            holds(&last)
        })
        .await;
        last
    }

    fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }
}

impl Answer {
    async fn of(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, text: response.text().await.expect("the answer is text, and whole") }
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body of a good answer.
    ///
    /// # Panics
    /// When it is a refusal, or no JSON.
    pub fn json(&self) -> Value {
        self.json_of(200)
    }

    /// The body of an answer with this status.
    ///
    /// # Panics
    /// When it has another, or is no JSON.
    pub fn json_of(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.header("content-type"), Some("application/json"));
        serde_json::from_str(&self.text).expect("JSON")
    }

    /// The body of a refusal, which must say of itself what HTTP says.
    ///
    /// # Panics
    /// When it is none.
    pub fn problem(&self) -> Value {
        assert!(self.status >= 400, "{}", self.text);
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.text);
        let problem: Value = serde_json::from_str(&self.text).expect("JSON");
        assert_eq!(problem["status"], self.status);
        let code = problem["code"].as_str().expect("a code");
        assert_eq!(problem["type"], format!("urn:tidemark:problem:{code}"));
        let id = self.header("x-request-id").expect("every answer has an id");
        assert_eq!(problem["instance"], format!("urn:tidemark:request:{id}"));
        problem
    }
}

const UNLIMITED: Rate = Rate { per_second: 100_000, burst: 100_000 };

/// Signs the keys of every deployment.
pub fn key_signer() -> KeySigner {
    KeySigner::new(&secret_keys().current, None)
}

/// Settings of an API that tests run.
pub fn settings() -> Settings {
    Settings {
        definitions: String::new(),
        tables: tables(),
        api_addr: ([127, 0, 0, 1], 0).into(),
        admin_addr: ([127, 0, 0, 1], 0).into(),
        keys: secret_keys(),
        webhook_allow: networks_allowed(),
        webhook_deny: Networks::default(),
        edge: EdgeSettings {
            // Tests that are not about limits ask as fast as they can, and want to read what they have just written.
            rates: Rates { key: UNLIMITED, tenant: UNLIMITED },
            shared_for: Duration::ZERO,
            drain_delay: Duration::ZERO,
            ..EdgeSettings::default()
        },
        oidc: None,
    }
}
