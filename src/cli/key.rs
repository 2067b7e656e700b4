//! `vigie key new`, `vigie key rotate`: the key-encryption keys of recordings.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::clock;
use crate::config::Settings;
use crate::recorder::layout::journal_folder;
use crate::storage::{Storage, copies};
use crate::vault::{Keys, Rotated, new_master_key, rotate};

/// Progress is told after so many keys.
const PROGRESS_EVERY: u64 = 1000;

/// Make a key-encryption key, or wrap every recording's key with the current one.
#[derive(Args, Clone, Debug)]
pub struct KeyArguments {
    #[command(subcommand)]
    act: Act,
}

#[derive(Clone, Debug, Subcommand)]
enum Act {
    New(NewArguments),
    Rotate(RotateArguments),
}

/// Make a new key-encryption key: 32 random bytes in base64, in a file of mode 0600. Its id is printed.
#[derive(Args, Clone, Debug)]
struct NewArguments {
    /// The file; one that is there is not overwritten.
    file: PathBuf,
}

/// Wrap the key of every recording with the current key-encryption key (`recording.encryption.key`). The audio is not
/// touched; a rotation that was killed is finished by running it again, and the server may run meanwhile.
#[derive(Args, Clone, Debug)]
struct RotateArguments {
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = "config/vigie.toml")]
    config: PathBuf,
}

/// Runs the command: 0 when everything was done.
pub fn run(arguments: &KeyArguments) -> ExitCode {
    let done = match &arguments.act {
        Act::New(arguments) => make(&arguments.file),
        Act::Rotate(arguments) => rotate_all(&arguments.config),
    };
    match done {
        Ok(told) => {
            println!("{told}");
            ExitCode::SUCCESS
        }
        Err(told) => {
            eprintln!("vigie key: {told}");
            ExitCode::FAILURE
        }
    }
}

fn make(file: &Path) -> Result<String, String> {
    let (text, id) = new_master_key().map_err(|error| error.to_string())?;
    let write = || {
        let mut made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
        made.write_all(text.as_bytes())?;
        made.sync_all()
    };
    write().map_err(|error: std::io::Error| format!("making {}: {error}", file.display()))?;
    Ok(format!(
        "{}: key-encryption key {id}; keep a copy elsewhere: what it locks nobody opens without it",
        file.display()
    ))
}

fn rotate_all(config: &Path) -> Result<String, String> {
    let settings = Settings::read(config).map_err(|faults| faults.to_string())?;
    let keys = Keys::open(&settings.recording.encryption, &settings.node.state.join("secrets"));
    let keys = keys.map_err(|error| error.to_string())?;
    if let Some(why) = keys.why_locked() {
        return Err(why);
    }
    if !keys.is_on() {
        return Err("recording.encryption.key is \"off\": there is no key to wrap with".into());
    }
    let folders = [settings.recording.folder.clone(), journal_folder(&settings.node.state)];
    let progress = |done: u64| {
        if done.is_multiple_of(PROGRESS_EVERY) {
            eprintln!("{done} keys looked at…");
        }
    };
    let rotated = rotate(&folders, &keys, progress).map_err(|error| error.to_string())?;
    let Rotated { rewrapped, current, failed } = &rotated;
    failed.iter().for_each(|error| eprintln!("NOT wrapped anew: {error}"));
    let kek = keys.ids().into_iter().next().unwrap_or_default();
    let told =
        format!("{rewrapped} keys wrapped anew with {kek}, {current} were so already, {} could not be", failed.len());
    let told = match &settings.archive.place {
        Some(_) => format!("{told}; {} copies in the second place follow while Vigie runs", renew_copies(&settings)?),
        None => told,
    };
    if failed.is_empty() { Ok(told) } else { Err(told) }
}

/// Has every copy in the second place looked at again: their keys were wrapped anew. How many.
fn renew_copies(settings: &Settings) -> Result<u64, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start the runtime: {error}"))?;
    let noted = runtime.block_on(async {
        let storage = Storage::open(&settings.storage).await?;
        let noted = copies::renew_all(&storage, clock::utc()).await;
        storage.close().await;
        noted
    });
    noted.map_err(|error| error.to_string())
}
