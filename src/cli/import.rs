//! `vigie import`: accounts and rosters from a CSV file.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::config::import::{ImportError, Imported, Others};
use crate::config::{Secrets, Settings};

/// Import regulators from a CSV file, when the configuration holds with them; it holds from the next `vigie reload` or start.
///
/// The first line names the columns: id, name, association, skills (regulation=80 physician=60), regions (rouen=0),
/// valid_from, valid_until (2026-12-31, or 2026-12-31T20:00), role, auto_answer_after, ready_on_register, supervises,
/// trainee_of. Cells are
/// separated by commas, semicolons or tabs. A person with several weeks has a row for each.
#[derive(Args, Clone, Debug)]
pub struct ImportArguments {
    /// The CSV file.
    pub file: PathBuf,
    /// The file is the whole list: people who were imported before and are not in it go.
    #[arg(long)]
    pub replace: bool,
    /// Only say what would change.
    #[arg(long)]
    pub check: bool,
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = "config/vigie.toml")]
    pub config: PathBuf,
}

/// Says what changes on standard output, and what is wrong on standard error.
pub fn run(arguments: &ImportArguments) -> ExitCode {
    match import(arguments) {
        Ok(told) => {
            println!("{told}");
            ExitCode::SUCCESS
        }
        Err(told) => {
            eprintln!("{told}");
            ExitCode::FAILURE
        }
    }
}

fn import(arguments: &ImportArguments) -> Result<String, String> {
    let file = &arguments.file;
    let text = std::fs::read_to_string(file).map_err(|error| format!("reading {}: {error}", file.display()))?;
    let others = if arguments.replace { Others::Go } else { Others::Stay };
    let act = if arguments.check { Imported::weigh } else { Imported::put_in };
    let imported = act(&arguments.config, (file, &text), others).map_err(|error| match error {
        ImportError::Faults(faults) => format!("{faults}; nothing was imported"),
        error @ ImportError::Write { .. } => error.to_string(),
    })?;
    for warning in &imported.warnings {
        eprintln!("warning: {warning}");
    }
    let mut told = summary(&imported);
    if arguments.check {
        return Ok(told + "Nothing was written.");
    }
    let settings = Settings::read(&arguments.config).map_err(|faults| faults.to_string())?;
    let secrets = Secrets::open_or_make(&settings).map_err(|error| error.to_string())?;
    for made in &secrets.made {
        told += &format!("made {}\n", made.display());
    }
    Ok(told + &format!("Written to {}; `vigie reload` makes it hold in the running server.", imported.file().display()))
}

fn summary(imported: &Imported) -> String {
    let mut told = String::new();
    for (word, ids) in [("added", &imported.added), ("changed", &imported.changed), ("removed", &imported.removed)] {
        told += &format!("{word}: {}{}{}\n", ids.len(), if ids.is_empty() { "" } else { "  " }, ids.join(" "));
    }
    told + &format!("unchanged: {}\n", imported.unchanged)
}
