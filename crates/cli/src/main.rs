//! The `oribi` program: private neural-network inference from the command line.

#[cfg(test)]
mod auto_plans;
mod builtin;
mod calibration;
mod child;
mod choice;
mod client;
mod commands;
mod console;
mod dataset;
mod failure;
mod networks;
mod npy;
mod plan_report;
mod pricing;
mod report;
mod screen;
mod share_report;
mod source;
mod stores;
mod version;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};

use failure::Failure;

/// Private neural-network inference: the server keeps its network, the client keeps its input.
///
/// `oribi demo` shows it at work, with a server and a client as two processes on this machine. Between two machines:
/// `oribi serve MODEL` on one, `oribi predict INPUT --server ADDRESS` on the other.
#[derive(Parser)]
#[command(name = "oribi", version = version::text(), disable_help_subcommand = false)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(commands::demo::Arguments),
    Serve(commands::serve::Arguments),
    Predict(commands::predict::Arguments),
    Prepare(commands::prepare::Arguments),
    Proxy(commands::proxy::Arguments),
    Models(commands::models::Arguments),
    Inspect(commands::inspect::Arguments),
    Run(commands::run::Arguments),
    Plan(Box<commands::plan::Arguments>),
    Calibrate(commands::calibrate::Arguments),
    Bench(commands::bench::Arguments),
    Store(commands::store::Arguments),
}

fn main() -> ExitCode {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !oribi::store::is_contained() {
            usual(panic);
        }
    }));
    match parse().and_then(|parsed| parsed.map_or(Ok(()), run)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.lines().iter().for_each(|line| console::note(line));
            ExitCode::from(failure.status)
        }
    }
}

/// Reads the arguments; `None` after help or version was printed.
fn parse() -> Result<Option<Arguments>, Failure> {
    let error = match Arguments::try_parse() {
        Ok(arguments) => return Ok(Some(arguments)),
        Err(error) => error,
    };
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            console::out(error.to_string().trim_end())?;
            Ok(None)
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            let command = Arguments::command();
            let names: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
            Err(Failure::bad(format!(
                "wanted a command: {}\n  `oribi demo` shows private inference at work on this machine.\n  \
                 `oribi COMMAND --help` explains a command.",
                names.join(", ")
            )))
        }
        _ => Err(error.into()),
    }
}

fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.command {
        Command::Demo(arguments) => commands::demo::run(&arguments),
        Command::Serve(arguments) => commands::serve::run(&arguments),
        Command::Predict(arguments) => commands::predict::run(&arguments),
        Command::Prepare(arguments) => commands::prepare::run(&arguments),
        Command::Proxy(arguments) => commands::proxy::run(&arguments),
        Command::Models(arguments) => commands::models::run(&arguments),
        Command::Inspect(arguments) => commands::inspect::run(&arguments),
        Command::Run(arguments) => commands::run::run(&arguments),
        Command::Plan(arguments) => commands::plan::run(&arguments),
        Command::Calibrate(arguments) => commands::calibrate::run(&arguments),
        Command::Bench(arguments) => commands::bench::run(&arguments),
        Command::Store(arguments) => commands::store::run(&arguments),
    }
}
