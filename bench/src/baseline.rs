//! The programs that Tidemark is compared with. Each runs as a process of its own, on the same SDK and runtime as Tidemark's.

mod handler;
pub(crate) mod reader;

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};

pub(crate) use handler::{Request as HandlerRequest, Sums};

#[derive(Debug, Subcommand)]
pub(crate) enum Baseline {
    /// Read a stream from its beginning to its end, and do nothing else.
    Reader(Reader),
    /// Answer each HTTP request with the sums of the rows of one Query.
    Handler(Handler),
}

#[derive(Debug, Args)]
pub(crate) struct Reader {
    #[arg(long)]
    table: String,
    /// Read the stream so many times.
    #[arg(long, default_value_t = 1)]
    times: usize,
    /// Write the changes of the first records of the stream with one unconditional UpdateItem per row.
    #[arg(long, default_value_t = 0)]
    updates_of: usize,
}

#[derive(Debug, Args)]
pub(crate) struct Handler {
    #[arg(long)]
    address: std::net::SocketAddr,
}

/// What a baseline needed.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Needed {
    pub(crate) cpu_seconds: f64,
    pub(crate) wall_seconds: f64,
    /// Records that were read or written.
    pub(crate) records: usize,
}

impl Needed {
    /// CPU time for each record, in µs.
    pub(crate) fn cpu_per_record(&self) -> f64 {
        self.cpu_seconds * 1e6 / self.records as f64
    }

    /// Records a second, by the clock.
    pub(crate) fn per_second(&self) -> f64 {
        self.records as f64 / self.wall_seconds
    }
}

impl Baseline {
    /// Runs until it has done its work, or is killed.
    ///
    /// # Errors
    /// When a call fails.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let config = tidemark_runtime::aws::from_environment().await?;
        match self {
            Self::Reader(reader) => println!("{}", serde_json::to_string(&reader.run(&config).await?)?),
            Self::Handler(handler) => handler.run(&config).await?,
        }
        Ok(())
    }
}
