//! `just bench`: the cost and the speed of Tidemark, each beside a baseline that is measured in the same run.

mod backlog;
mod baseline;
mod lab;
mod orders;
mod process;
mod profile;
mod report;
mod row;
mod rows;
mod stub;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};
use tidemark_runtime::{clock, shutdown};
use tokio::time::Instant;

use baseline::Baseline;
use lab::Lab;
use profile::Profiles;
use report::compare::{Comparison, Direction, compare};
use report::{Ink, Machine, Report, chart, markdown, revision, table};
use rows::Group;

/// Longest that any HTTP request of the bench may take.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
/// The document that has the figures of a run, and its chart.
const DOCUMENT: &str = "docs/performance.md";
const CHART: &str = "docs/performance.svg";

/// Measure the cost and the speed of Tidemark beside baselines in the same run.
#[derive(Debug, Parser)]
#[command(name = "tidemark-bench", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    measure: Measure,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the report of an earlier run.
    Show(Show),
    /// Compare the ratios of two reports; exit with 1 if one differs by more than the limit.
    Compare(Compare),
    /// Run a program that Tidemark is compared with.
    #[command(subcommand, hide = true)]
    Baseline(Baseline),
}

#[derive(Debug, Args)]
struct Measure {
    /// Measure only this group of rows; may be repeated.
    #[arg(long, value_name = "GROUP")]
    only: Vec<Group>,
    /// Run every row with 1 % of its work. The figures have no meaning.
    #[arg(long)]
    quick: bool,
    /// Write the report, the chart and the figures into this directory.
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    into: PathBuf,
    /// Also write the figures into docs/performance.md, and the chart beside it.
    #[arg(long, conflicts_with_all = ["only", "quick", "profile"])]
    update: bool,
    /// Also record a perf profile of each process whose CPU time is measured, into DIR/profiles. The figures of such a run are too high.
    #[arg(long)]
    profile: bool,
    /// The URL of a running DynamoDB Local. Without it, the rows that need it are skipped.
    #[arg(long, env = "TIDEMARK_TEST_DYNAMODB", value_name = "URL")]
    dynamodb_local: Option<String>,
}

#[derive(Debug, Args)]
struct Show {
    /// The report.json of the run.
    report: PathBuf,
    /// Also write the figures into docs/performance.md, and the chart beside it.
    #[arg(long)]
    update: bool,
}

#[derive(Debug, Args)]
struct Compare {
    /// The report.json of the earlier run.
    before: PathBuf,
    /// The report.json of the later run.
    after: PathBuf,
    /// The largest change of a ratio, in percent.
    #[arg(long, default_value_t = 15.0)]
    limit: f64,
    /// Let ratios improve by any amount.
    #[arg(long)]
    only_worse: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.command {
        None => arguments.measure.run().await,
        Some(Command::Show(show)) => show.run(),
        Some(Command::Compare(compare)) => compare.run(),
        Some(Command::Baseline(baseline)) => baseline.run().await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

impl Measure {
    /// Measures until it is done, or a signal ends it: then the processes that are being measured are killed, too.
    async fn run(self) -> anyhow::Result<()> {
        let stop = shutdown::on_signal()?;
        tokio::select! {
            done = self.measure() => done,
            () = stop.cancelled() => anyhow::bail!("a signal has ended the measurement"),
        }
    }

    async fn measure(self) -> anyhow::Result<()> {
        let (started_at, begin) = (clock::now(), Instant::now());
        let (machine, revision) = (Machine::this(), revision(Path::new(".")));
        anyhow::ensure!(self.quick || !cfg!(debug_assertions), "a debug build measures nothing: `just bench` builds what ships");
        let http = reqwest::Client::builder().no_proxy().timeout(ANSWERED_WITHIN).build()?;
        let profiles = self.profile.then(|| Profiles::into_directory(&self.into.join("profiles"))).transpose()?;
        let lab = Lab { quick: self.quick, local: self.dynamodb_local, http, profiles };
        let mut rows = Vec::new();
        for group in Group::value_variants().iter().filter(|group| self.only.is_empty() || self.only.contains(group)) {
            let begin = Instant::now();
            let measured = Box::pin(group.measure(&lab)).await;
            rows.extend(measured.with_context(|| format!("the group {group:?}"))?);
            eprintln!("{:>6.1} s  {group:?}", begin.elapsed().as_secs_f64());
        }
        let report = Report::new(started_at, begin.elapsed().as_secs_f64(), machine, revision, rows);
        print!("{}", table::table(&report, ink()));
        report.write(&self.into.join("report.json"))?;
        std::fs::write(self.into.join("chart.svg"), chart::chart(&report))?;
        if self.update { update(&report) } else { Ok(()) }
    }
}

impl Show {
    fn run(self) -> anyhow::Result<()> {
        let report = Report::read(&self.report)?;
        print!("{}", table::table(&report, ink()));
        if self.update { update(&report) } else { Ok(()) }
    }
}

/// Writes the figures and the chart of a report into the documents.
fn update(report: &Report) -> anyhow::Result<()> {
    let document = std::fs::read_to_string(DOCUMENT).with_context(|| format!("cannot read {DOCUMENT}"))?;
    let document = markdown::update(&document, &markdown::figures(report, &["just bench"]))?;
    std::fs::write(DOCUMENT, document).with_context(|| format!("cannot write {DOCUMENT}"))?;
    std::fs::write(CHART, chart::chart(report)).with_context(|| format!("cannot write {CHART}"))
}

impl Compare {
    fn run(self) -> anyhow::Result<()> {
        let comparison = compare(&Report::read(&self.before)?, &Report::read(&self.after)?);
        print!("{}", comparison.table(ink()));
        let direction = if self.only_worse { Direction::Worse } else { Direction::Either };
        let Comparison { changes, unmatched, .. } = &comparison;
        anyhow::ensure!(!changes.is_empty(), "the reports have no ratio in common");
        anyhow::ensure!(unmatched.is_empty(), "{} rows or baselines are in one report only", unmatched.len());
        let exceeding = comparison.exceeding(self.limit, direction).len();
        anyhow::ensure!(exceeding == 0, "{exceeding} of {} ratios changed by more than {} %", changes.len(), self.limit);
        Ok(())
    }
}

fn ink() -> Ink {
    if std::io::stdout().is_terminal() { Ink::Ansi } else { Ink::Plain }
}
