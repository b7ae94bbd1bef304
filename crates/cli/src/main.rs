//! The `tidemark` command: `dev`, and an operator's work without HTTP.

mod check;
mod command;
mod connection;
mod definitions;
mod dev;
mod init;
mod key;
mod output;
mod progress;
mod quarantine;
mod secrets;
mod status;
mod tenant;

use std::process::ExitCode;

use clap::Parser;
use tidemark_runtime::process::{self, Failure};

use crate::command::{Command, Tidemark};

#[tokio::main]
async fn main() -> ExitCode {
    let Tidemark { command } = Tidemark::parse();
    process::exit_code(Box::pin(run(command)).await)
}

async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Dev(options) => Box::pin(dev::run(options)).await,
        Command::Init(options) => init::run(options).await,
        Command::Check(options) => check::run(&options),
        Command::Tenant(command) => tenant::run(command).await,
        Command::Key(command) => key::run(command).await,
        Command::Secrets(command) => secrets::run(command).await,
        Command::Status(options) => status::run(options).await,
        Command::Quarantine(command) => quarantine::run(command).await,
        Command::Definitions(command) => definitions::run(command).await,
    }
}
