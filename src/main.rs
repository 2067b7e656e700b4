//! Arguments, configuration, [`vigie::cli::run`].

use std::process::ExitCode;

fn main() -> ExitCode {
    vigie::cli::run()
}
