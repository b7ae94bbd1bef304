//! The frame of a Tidemark process: a workload with its probes, from its start to the end of its drain, and what the end means
//! to a shell.

use std::error::Error;
use std::io::{self, Write};
use std::iter::successors;
use std::net::SocketAddr;
use std::process::ExitCode;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::health::Health;
use crate::settings::Vars;
use crate::settings::deployment::ADMIN_ADDR;
use crate::telemetry::{self, LogFormat, Telemetry};
use crate::{admin, listen, shutdown};

/// Any error, for people to read.
pub type Cause = Box<dyn Error + Send + Sync>;

/// Why a process ends without having done what it was asked to do. `?` makes any error a [`Failure::Failed`].
#[derive(Debug)]
pub enum Failure {
    /// What was asked was right, and failed: exit code 1.
    Failed(Cause),
    /// The command, its settings or its input are wrong, and trying again without changing them is of no use: exit code 2.
    WrongUse(Cause),
}

impl Failure {
    pub fn failed(cause: impl Into<Cause>) -> Self {
        Self::Failed(cause.into())
    }

    pub fn wrong_use(cause: impl Into<Cause>) -> Self {
        Self::WrongUse(cause.into())
    }

    /// What there is to tell, and the exit code.
    fn told(&self) -> (String, u8) {
        match self {
            Self::Failed(cause) => (chain(&**cause), 1),
            Self::WrongUse(cause) => (chain(&**cause), 2),
        }
    }

    /// Tells it on standard error, and gives the exit code.
    fn tell(&self) -> u8 {
        let (text, code) = self.told();
        // Where nothing can be written any more, the exit code is all that is left to tell.
        writeln!(io::stderr(), "error: {text}").ok();
        code
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Tells a failure on standard error, as a sentence that begins with `error:`, and gives the exit code.
pub fn exit_code(ended: Result<(), Failure>) -> ExitCode {
    ended.map_or_else(|failure| failure.tell().into(), |()| ExitCode::SUCCESS)
}

/// Ends the process at once, as [`exit_code`] would have it end: for what fails where nobody is to pass it on, such as its output.
pub fn exit(failure: &Failure) -> ! {
    std::process::exit(failure.tell().into())
}

/// Ends the telemetry of a process whose work has ended. A failure is sent as a log record, for the line of [`exit_code`] reaches
/// no collector; then what is left is sent, which takes [`telemetry::FLUSH_MAX`] at most.
///
/// # Errors
/// How the work ended: telemetry that nobody takes is no failure of it.
pub async fn end<T>(telemetry: Telemetry, ended: Result<T, Failure>) -> Result<T, Failure> {
    if let Err(failure) = &ended {
        let (error, code) = failure.told();
        tracing::error!(name: telemetry::FAILURE, error, process.exit.code = code, "the process failed");
    }
    telemetry.shutdown().await;
    ended
}

/// An error and its causes, each on what is left of the line: the SDK's causes have lines of their own. Only the outermost error
/// keeps its lines, for it may be a list. A cause that the text before it has told already is left out. So errors are told and logged:
/// what an operator acts on is mostly the cause.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    for cause in successors(error.source(), |&cause| cause.source()) {
        let cause = cause.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

/// A workload's process: it logs, heeds signals, and has a port for its probes.
#[derive(Debug)]
pub struct Process {
    telemetry: Telemetry,
    stop: CancellationToken,
    probes: TcpListener,
}

impl Process {
    /// Starts what every workload's process has.
    ///
    /// # Errors
    /// When signals cannot be handled, or the probes' address is taken.
    pub async fn open(service: &'static str, vars: &Vars, admin_addr: SocketAddr) -> Result<Self, Failure> {
        let telemetry = telemetry::init(service, LogFormat::of_stderr(), vars);
        let opened = async {
            let stop = shutdown::on_signal()?;
            let probes = listen::listen(admin_addr, ADMIN_ADDR.name).await?;
            tracing::info!(addr = %probes.local_addr()?, "probes and metrics are answered");
            Ok((stop, probes))
        };
        match opened.await {
            Ok((stop, probes)) => Ok(Self { telemetry, stop, probes }),
            Err(failure) => end(telemetry, Err(failure)).await,
        }
    }

    /// Runs a workload until it ends, which it does when its token is cancelled: by a signal. One that comes while the workload
    /// still starts ends the start, so whatever may fail or take long belongs there. Probes answer until the very end of the drain,
    /// and say that there is one. Then telemetry [ends](end).
    ///
    /// # Errors
    /// The workload's own.
    pub async fn run<W, E: Into<Failure>>(
        self,
        start: impl Future<Output = Result<W, E>>,
        work: impl AsyncFnOnce(W, Health, CancellationToken) -> Result<(), E>,
    ) -> Result<(), Failure> {
        let Self { telemetry, stop, probes } = self;
        let (health, done) = (Health::starting(), CancellationToken::new());
        let probing = admin::serve(probes, health.clone(), telemetry.registry().clone(), done.clone());
        let draining = async {
            tokio::select! {
                () = stop.cancelled() => health.not_ready("draining"),
                () = done.cancelled() => {}
            }
        };
        let working = async {
            let _until_the_end = done.clone().drop_guard();
            let started = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                started = start => started.map_err(Into::into)?,
            };
            work(started, health.clone(), stop.clone()).await.map_err(Into::into)
        };
        let (worked, (), ()) = tokio::join!(working, probing, draining);
        // After the drain, for it is told of, too.
        end(telemetry, worked).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("table `a` is missing")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("no credentials\n  Environment: unset\n  Profile: none")]
    struct Inner(#[source] io::Error);

    #[test]
    fn causes_share_one_line_and_none_is_told_twice() {
        let error = Outer(Inner(io::Error::other("Profile: none")));
        assert_eq!(chain(&error), "table `a` is missing: no credentials Environment: unset Profile: none");
    }

    #[test]
    fn a_list_keeps_its_lines() {
        let error = Cause::from("d.yaml has problems:\nline 1: one\nline 2: two");
        assert_eq!(chain(&*error), "d.yaml has problems:\nline 1: one\nline 2: two");
    }

    /// A process that no signal has reached yet.
    async fn process() -> (Process, CancellationToken) {
        let stop = CancellationToken::new();
        let telemetry = telemetry::init("tidemark-ingest", LogFormat::Json, &Vars::default());
        let probes = TcpListener::bind("127.0.0.1:0").await.unwrap();
        (Process { telemetry, stop: stop.clone(), probes }, stop)
    }

    #[tokio::test]
    async fn a_signal_ends_a_start_that_hangs() {
        let (process, stop) = process().await;
        stop.cancel();
        let ended = process.run(std::future::pending::<io::Result<()>>(), async |(), _, _| panic!("it never started"));
        assert!(ended.await.is_ok());
    }

    #[tokio::test]
    async fn a_workload_that_drains_is_not_ready_and_its_failure_ends_the_process() {
        let (process, stop) = process().await;
        let ended = process.run(std::future::ready(Ok(())), async |(), health, its_stop| {
            health.ready();
            stop.cancel();
            its_stop.cancelled().await;
            while health.readiness() == crate::health::Readiness::Ready {
                tokio::task::yield_now().await;
            }
            Err(io::Error::other("cut off"))
        });
        let Err(Failure::Failed(cause)) = ended.await else { panic!("the workload failed") };
        assert_eq!(cause.to_string(), "cut off");
    }
}
