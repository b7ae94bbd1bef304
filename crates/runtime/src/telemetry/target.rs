//! Where telemetry is sent, by the standard variables: which signals, to which address, how long an export may take.
//!
//! Read here is what decides about sending at all, so that it can be said what is wrong with it. The rest of `OTEL_*` the SDK reads
//! by itself from the process's environment: headers, sizes and delays of batches, the interval of metrics and their temporality,
//! the sampler, attributes of the resource.

use std::time::Duration;

use hyper::Uri;
use opentelemetry_otlp::OTEL_EXPORTER_OTLP_PROTOCOL_HTTP_PROTOBUF as HTTP_PROTOBUF;

use crate::settings::{NotUnicode, Vars};

/// Longest time an export takes, its retries included, where nothing else is set: OpenTelemetry's own default.
const TIMEOUT: Duration = Duration::from_secs(10);

/// One of the three kinds of telemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    Traces,
    Metrics,
    Logs,
}

/// Where one signal is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) signal: Signal,
    /// Whole, the signal's own path included; `http` or `https`.
    pub(super) url: Uri,
    pub(super) timeout: Duration,
}

/// What is wrong with a variable, and what holds instead. Values are not told: an address may carry a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("{variable}: {cause}; it is taken as unset")]
    NotUnicode { variable: String, cause: NotUnicode },
    #[error("{0}: is no URL with http:// or https:// and a host, such as http://collector:4318; nothing is sent there")]
    Endpoint(String),
    #[error(
        "{variable}: `{value}` is not spoken; {HTTP_PROTOBUF} is used instead, which collectors take at port 4318: \
         set it to {HTTP_PROTOBUF}, and the endpoint to that port"
    )]
    Protocol { variable: String, value: String },
    #[error("{0}: is no whole number of milliseconds above 0; 10000 is used")]
    Timeout(String),
    #[error("{variable}: `{value}` is not known here, and nothing of the kind is sent; known are otlp and none")]
    Exporter { variable: String, value: String },
    #[error("{0}: says otlp, but OTEL_EXPORTER_OTLP_ENDPOINT is not set, so nothing of the kind is sent")]
    NoEndpoint(String),
}

/// Everything that is sent.
#[derive(Debug, Default)]
pub(super) struct Targets {
    pub(super) traces: Option<Target>,
    pub(super) metrics: Option<Target>,
    pub(super) logs: Option<Target>,
}

/// Reads variables, and gathers what is wrong with them.
struct Reading<'a> {
    vars: &'a Vars,
    faults: Vec<Fault>,
}

impl Signal {
    /// As in the path of its endpoint.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }
}

impl Targets {
    /// Never fails: a service runs without telemetry rather than not at all. The faults are for the log.
    pub(super) fn read(vars: &Vars) -> (Self, Vec<Fault>) {
        let mut reading = Reading { vars, faults: Vec::new() };
        if reading.get("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return (Self::default(), reading.faults);
        }
        let targets = Self {
            traces: reading.target(Signal::Traces),
            metrics: reading.target(Signal::Metrics),
            logs: reading.target(Signal::Logs),
        };
        (targets, reading.faults)
    }
}

impl<'a> Reading<'a> {
    fn target(&mut self, signal: Signal) -> Option<Target> {
        let chooser = format!("OTEL_{}_EXPORTER", signal.as_str().to_uppercase());
        let is_asked_for = match self.get(&chooser) {
            None => false,
            Some(list) => self.chosen(signal, &chooser, list)?,
        };
        let Some((variable, endpoint)) = self.of_signal(signal, "ENDPOINT") else {
            if is_asked_for {
                self.blame(Fault::NoEndpoint(chooser));
            }
            return None;
        };
        let Some(url) = url(endpoint, (variable == GENERAL_ENDPOINT).then_some(signal)) else {
            self.blame(Fault::Endpoint(variable));
            return None;
        };
        if let Some((variable, value)) = self.of_signal(signal, "PROTOCOL").filter(|(_, value)| *value != HTTP_PROTOBUF) {
            self.blame(Fault::Protocol { variable, value: value.to_owned() });
        }
        let timeout = match self.of_signal(signal, "TIMEOUT") {
            None => TIMEOUT,
            Some((variable, value)) => match value.parse() {
                Ok(ms @ 1..) => Duration::from_millis(ms),
                _ => {
                    self.blame(Fault::Timeout(variable));
                    TIMEOUT
                }
            },
        };
        Some(Target { signal, url, timeout })
    }

    /// Whether a list of exporters has OTLP in it; `None`: it has not, and nothing is sent.
    fn chosen(&mut self, signal: Signal, variable: &str, list: &str) -> Option<bool> {
        let mut is_chosen = false;
        for value in list.split(',').map(str::trim).filter(|value| !value.is_empty()) {
            match value {
                "otlp" => is_chosen = true,
                "none" => {}
                // `/metrics` has them in any case.
                "prometheus" if signal == Signal::Metrics => {}
                _ => self.blame(Fault::Exporter { variable: variable.to_owned(), value: value.to_owned() }),
            }
        }
        is_chosen.then_some(true)
    }

    /// The signal's own variable, or else the one of all signals, with its name.
    fn of_signal(&mut self, signal: Signal, what: &str) -> Option<(String, &'a str)> {
        let own = format!("OTEL_EXPORTER_OTLP_{}_{what}", signal.as_str().to_uppercase());
        [own, format!("OTEL_EXPORTER_OTLP_{what}")].into_iter().find_map(|name| {
            let value = self.get(&name)?;
            Some((name, value))
        })
    }

    fn get(&mut self, name: &str) -> Option<&'a str> {
        let vars = self.vars;
        vars.get(name).unwrap_or_else(|cause| {
            self.blame(Fault::NotUnicode { variable: name.to_owned(), cause });
            None
        })
    }

    /// A variable of all signals is blamed once.
    fn blame(&mut self, fault: Fault) {
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }
}

/// The variable whose value each signal's path is added to; a signal's own is taken as it is (OTLP specification, endpoint URLs).
const GENERAL_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

fn url(endpoint: &str, path_of: Option<Signal>) -> Option<Uri> {
    let url: Uri = match path_of {
        Some(signal) => format!("{}/v1/{}", endpoint.trim_end_matches('/'), signal.as_str()).parse(),
        None => endpoint.parse(),
    }
    .ok()?;
    let has_host = url.host().is_some_and(|host| !host.is_empty());
    (has_host && matches!(url.scheme_str(), Some("http" | "https"))).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDPOINT: (&str, &str) = (GENERAL_ENDPOINT, "http://collector:4318/");

    fn urls(vars: &[(&str, &str)]) -> ([Option<String>; 3], Vec<Fault>) {
        let (targets, faults) = Targets::read(&Vars::of(vars.iter().copied()));
        let url = |target: Option<Target>| target.map(|target| target.url.to_string());
        ([url(targets.traces), url(targets.metrics), url(targets.logs)], faults)
    }

    fn sent(vars: &[(&str, &str)]) -> [bool; 3] {
        urls(vars).0.map(|url| url.is_some())
    }

    #[test]
    fn each_signal_goes_to_its_own_path_or_to_its_own_variable() {
        let (urls, faults) = urls(&[ENDPOINT, ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "https://logs.example/in")]);
        let expected = ["http://collector:4318/v1/traces", "http://collector:4318/v1/metrics", "https://logs.example/in"];
        assert_eq!(urls.map(Option::unwrap), expected);
        assert_eq!(faults, []);
    }

    #[test]
    fn nothing_is_sent_without_an_endpoint_or_when_it_is_switched_off() {
        assert_eq!(sent(&[]), [false; 3]);
        assert_eq!(sent(&[ENDPOINT]), [true; 3]);
        assert_eq!(sent(&[ENDPOINT, ("OTEL_SDK_DISABLED", "TRUE")]), [false; 3]);
        assert_eq!(sent(&[ENDPOINT, ("OTEL_TRACES_EXPORTER", "none")]), [false, true, true]);
        let (urls, faults) = urls(&[ENDPOINT, ("OTEL_METRICS_EXPORTER", "prometheus"), ("OTEL_LOGS_EXPORTER", "otlp,none")]);
        assert_eq!((urls.map(|url| url.is_some()), faults), ([true, false, true], vec![]));
    }

    #[test]
    fn what_cannot_be_used_is_told_once_and_what_holds_instead() {
        for text in ["collector:4318", "collector", "ftp://collector", "http://", "http:// ", "unix:///run/otel"] {
            let (urls, faults) = urls(&[(GENERAL_ENDPOINT, text)]);
            assert_eq!((urls, faults), ([None, None, None], vec![Fault::Endpoint(GENERAL_ENDPOINT.to_owned())]), "{text}");
        }
        let (urls, faults) = urls(&[ENDPOINT, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), ("OTEL_EXPORTER_OTLP_TIMEOUT", "1s")]);
        assert!(urls.iter().all(Option::is_some), "they are sent all the same");
        let [protocol, timeout] = &faults[..] else { panic!("{faults:?}") };
        assert!(
            protocol.to_string().starts_with("OTEL_EXPORTER_OTLP_PROTOCOL: `grpc` is not spoken; http/protobuf"),
            "{protocol}"
        );
        assert_eq!(*timeout, Fault::Timeout("OTEL_EXPORTER_OTLP_TIMEOUT".to_owned()));
    }

    #[test]
    fn an_exporter_that_is_asked_for_in_vain_is_told() {
        let console = ("OTEL_TRACES_EXPORTER", "console");
        let fault = Fault::Exporter { variable: "OTEL_TRACES_EXPORTER".to_owned(), value: "console".to_owned() };
        assert_eq!(urls(&[ENDPOINT, console]).1, [fault]);
        assert_eq!(urls(&[("OTEL_LOGS_EXPORTER", "otlp")]).1, [Fault::NoEndpoint("OTEL_LOGS_EXPORTER".to_owned())]);
    }

    #[test]
    fn a_signal_has_its_own_timeout() {
        let vars = [ENDPOINT, ("OTEL_EXPORTER_OTLP_TIMEOUT", "700"), ("OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "90")];
        let (targets, _) = Targets::read(&Vars::of(vars));
        let timeouts = [targets.traces, targets.metrics, targets.logs].map(|target| target.unwrap().timeout.as_millis());
        assert_eq!(timeouts, [700, 700, 90]);
    }
}
