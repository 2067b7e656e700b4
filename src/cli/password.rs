//! `vigie password`: a new password for a regulator's phones.

use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::config::Settings;
use crate::config::secrets::{new_password, set_password};
use crate::model::RegulatorId;

/// Give a regulator a new password; it holds from the next `vigie reload` or start of the server.
#[derive(Args, Clone, Debug)]
pub struct PasswordArguments {
    /// The regulator's id.
    pub regulator: String,
    /// Read the password from standard input (one line) in place of making one.
    #[arg(long)]
    pub stdin: bool,
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = "config/vigie.toml")]
    pub config: PathBuf,
}

/// Keeps the password's hashes; a password made here is printed once, on standard output.
pub fn run(arguments: &PasswordArguments) -> ExitCode {
    match change(arguments) {
        Ok(password) => {
            if !arguments.stdin {
                println!("{password}");
            }
            eprintln!(
                "The password of {} is changed; `vigie reload` makes it hold in the running server.",
                arguments.regulator
            );
            ExitCode::SUCCESS
        }
        Err(told) => {
            eprintln!("{told}");
            ExitCode::FAILURE
        }
    }
}

fn change(arguments: &PasswordArguments) -> Result<String, String> {
    let settings = Settings::read(&arguments.config).map_err(|faults| faults.to_string())?;
    let password =
        if arguments.stdin { read_password()? } else { new_password().map_err(|error| error.to_string())? };
    let regulator = RegulatorId::from(arguments.regulator.as_str());
    set_password(&settings, &regulator, &password).map_err(|error| error.to_string())?;
    Ok(password)
}

fn read_password() -> Result<String, String> {
    let input = std::io::stdin();
    if input.is_terminal() {
        eprintln!("Type the new password (it will be seen), then Enter:");
    }
    let mut line = String::new();
    input.lock().read_line(&mut line).map_err(|error| format!("reading the password from standard input: {error}"))?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
