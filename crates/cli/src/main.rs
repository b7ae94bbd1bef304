//! The `tidemark` command: `dev`, and an operator's work without HTTP.

mod check;
mod command;
mod connection;
mod definitions;
mod dev;
mod init;
mod key;
mod output;
mod quarantine;
mod status;
mod tenant;

use std::process::ExitCode;

use clap::Parser;

use crate::command::{Command, Tidemark};

/// What a command's end means to a shell.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The command was right, and failed.
    #[error(transparent)]
    Failed(#[from] anyhow::Error),
    /// The command or its input is wrong; trying again without changing them is of no use.
    #[error("{0:#}")]
    WrongUse(anyhow::Error),
}

impl Failure {
    pub(crate) fn wrong_use(error: impl Into<anyhow::Error>) -> Self {
        Self::WrongUse(error.into())
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let Tidemark { command } = Tidemark::parse();
    let ended = match command {
        Command::Dev(options) => Box::pin(dev::run(options)).await,
        Command::Init(options) => init::run(options).await,
        Command::Check(options) => check::run(&options),
        Command::Tenant(command) => tenant::run(command).await,
        Command::Key(command) => key::run(command).await,
        Command::Status(options) => status::run(options).await,
        Command::Quarantine(command) => quarantine::run(command).await,
        Command::Definitions(command) => definitions::run(command).await,
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Failed(error)) => {
            eprintln!("error: {error:#}");
            ExitCode::from(1)
        }
        Err(Failure::WrongUse(error)) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
