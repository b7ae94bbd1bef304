//! What is told of an error to whom: the client learns that there is one, the log why.

use std::io::Write;
use std::sync::{Arc, Mutex};

use super::*;

#[derive(Debug, thiserror::Error)]
#[error("AWS denies this call")]
struct Denied(#[source] Unauthorized);

#[derive(Debug, thiserror::Error)]
#[error("not authorized to perform dynamodb:Query on it")]
struct Unauthorized;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("nobody panics with it").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The problem that an error becomes, and what is logged meanwhile.
fn problem_and_log(error: impl FnOnce() -> ApiError) -> (Problem, String) {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().json().with_writer(move || writer.clone()).finish();
    let problem = tracing::subscriber::with_default(subscriber, || error().into_problem());
    let logged = lines.0.lock().expect("nobody panics with it").clone();
    (problem, String::from_utf8(logged).expect("text"))
}

#[test]
fn the_log_has_the_cause_of_an_error_and_the_client_has_not() {
    for (remedy, status, level) in
        [(Remedy::Correction, 500, "ERROR"), (Remedy::Operator, 503, "ERROR"), (Remedy::Retry, 503, "WARN")]
    {
        let (problem, log) = problem_and_log(|| ApiError::of_dependency(Denied(Unauthorized), remedy));
        assert_eq!((problem.status, problem.retry_after.is_some()), (status, status == 503), "{remedy:?}");
        assert_eq!((log.lines().count(), log.contains(level)), (1, true), "{log}");
        assert!(!format!("{problem:?}").contains("dynamodb"), "{problem:?}");
        assert!(log.contains("AWS denies this call: not authorized to perform dynamodb:Query on it"), "{log}");
    }
}
