//! The commands: serve, demo, check, reconcile, archive, reload, verify, export, seal-key, audit, custody, password, import, call,
//! load, simulate, key.

pub mod archive;
pub mod ask;
pub mod audit;
pub mod call;
pub mod check;
pub mod custody;
pub mod demo;
pub mod export;
pub mod import;
pub mod key;
pub mod load;
pub mod password;
pub mod phone;
pub mod reconcile;
pub mod reload;
pub mod seal_key;
pub mod serve;
pub mod simulate;
pub mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};

/// Lines that wait for a standard error that nobody reads; with more, new ones are dropped.
const LOG_LINES_MAX: usize = 65_536;

/// Answers the calls of a medical-regulation centre, gives each to the right free regulator by skill and region,
/// records what is said so that it can be proven, and tells dispatch.
///
/// Without a command: `serve`.
#[derive(Debug, Parser)]
#[command(name = "vigie", version, about, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::ServeArguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::ServeArguments),
    Demo(demo::DemoArguments),
    Check(check::CheckArguments),
    Reconcile(reconcile::ReconcileArguments),
    Archive(archive::ArchiveArguments),
    Reload(reload::ReloadArguments),
    Verify(verify::VerifyArgs),
    Export(export::ExportArguments),
    SealKey(seal_key::SealKeyArguments),
    Audit(audit::AuditArguments),
    Custody(custody::CustodyArguments),
    Password(password::PasswordArguments),
    Import(import::ImportArguments),
    Call(call::CallArguments),
    Load(load::LoadArguments),
    Simulate(simulate::SimulateArguments),
    Key(key::KeyArguments),
}

/// Reads the arguments and runs the command.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.command.unwrap_or(Command::Serve(arguments.serve)) {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Demo(arguments) => {
            let _log = write_log("warn");
            demo::run(&arguments)
        }
        Command::Check(arguments) => check::run(&arguments),
        Command::Reconcile(arguments) => reconcile::run(&arguments),
        Command::Archive(arguments) => archive::run(&arguments),
        Command::Reload(arguments) => reload::run(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Export(arguments) => export::run(&arguments),
        Command::SealKey(arguments) => seal_key::run(&arguments),
        Command::Audit(arguments) => audit::run(&arguments),
        Command::Custody(arguments) => custody::run(&arguments),
        Command::Password(arguments) => password::run(&arguments),
        Command::Import(arguments) => import::run(&arguments),
        Command::Call(arguments) => call::run(&arguments),
        Command::Load(arguments) => load::run(&arguments),
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::Key(arguments) => {
            let _log = write_log("warn");
            key::run(&arguments)
        }
    }
}

/// Writes the log to standard error: at `level`, or as `RUST_LOG` says; all of it once the guard is dropped. A thread of
/// its own writes, so that a terminal that is held, or a log's reader that is stuck, holds up no call.
fn write_log(level: &str) -> WorkerGuard {
    use std::io::IsTerminal;
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let (writer, guard) =
        NonBlockingBuilder::default().buffered_lines_limit(LOG_LINES_MAX).thread_name("log").finish(std::io::stderr());
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(std::io::stderr().is_terminal())
        .finish();
    // Set already only in tests, which have their own.
    let _ = tracing::subscriber::set_global_default(subscriber);
    guard
}
