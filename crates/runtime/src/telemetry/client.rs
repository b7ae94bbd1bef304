//! The HTTP client of one exporter, which says on standard error when its collector cannot be reached, and that it can again.
//!
//! The SDK drops what could not be sent, and would say so for every batch; of its words those are left out (`filter.rs`). This says
//! more, the cause, and less often.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::{Request, Response, StatusCode};
use opentelemetry_http::{HttpClient, HttpError};
use reqwest::redirect;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};

use super::target::Target;

/// How long a connection may take of an export's time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A collector that fails is told of at most this often.
const TOLD_EVERY: Duration = Duration::from_secs(5 * 60);

/// Sends what one exporter has, from the exporter's own thread.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::blocking::Client,
    signal: &'static str,
    told: Mutex<Told>,
}

/// What was said last.
#[derive(Debug, Default)]
struct Told {
    failing_at: Option<Instant>,
    is_failing: bool,
}

impl Client {
    /// A client for one address. It follows no redirect. To a plain `http` address it goes straight: that is a collector in the same
    /// cluster or on the same machine, which a proxy meant for the way out cannot find. To an `https` address it goes by the
    /// standard proxy variables, for such a collector may be outside.
    pub(super) fn new(target: &Target) -> Result<Self, HttpError> {
        let is_tls = target.url.scheme_str() == Some("https");
        let builder = reqwest::blocking::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(target.timeout)
            .redirect(redirect::Policy::none())
            .tls_backend_preconfigured(tls(is_tls));
        let builder = if is_tls { builder } else { builder.no_proxy() };
        // A blocking client must not be made on a thread of an asynchronous runtime, and this may be one.
        let http = std::thread::spawn(move || builder.build()).join().map_err(|_| "the client cannot be made")??;
        Ok(Self { http, signal: target.signal.as_str(), told: Mutex::default() })
    }

    fn note(&self, answer: &Result<Response<Bytes>, HttpError>) {
        let cause = match answer {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(status(answer.status())),
            Err(error) => Some(innermost(&**error)),
        };
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match cause {
            None if told.is_failing => {
                told.is_failing = false;
                tracing::info!(signal = self.signal, "telemetry is sent again");
            }
            None => {}
            Some(cause) if told.failing_at.is_none_or(|at| at.elapsed() >= TOLD_EVERY) => {
                *told = Told { failing_at: Some(Instant::now()), is_failing: true };
                tracing::warn!(signal = self.signal, cause, "telemetry cannot be sent, and what there is of it is lost");
            }
            Some(_) => {}
        }
    }
}

impl HttpClient for Client {
    fn send_bytes<'a, 'f>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'f>>
    where
        'a: 'f,
        Self: 'f,
    {
        Box::pin(async move {
            let answer = self.http.send_bytes(request).await;
            self.note(&answer);
            answer
        })
    }
}

/// TLS with the provider that the AWS SDK uses, too, and the system's certificate authorities where they are needed.
fn tls(is_used: bool) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    if is_used {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider knows TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

fn status(status: StatusCode) -> String {
    let hint = match status {
        StatusCode::NOT_FOUND => ": does the address speak OTLP?",
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ": see OTEL_EXPORTER_OTLP_HEADERS",
        _ => "",
    };
    format!("the collector answers {status}{hint}")
}

/// The last cause says what happened; those before it name the address, which may carry a password.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.last().map_or_else(String::new, ToString::to_string)
}
