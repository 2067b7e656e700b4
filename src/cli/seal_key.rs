//! `vigie seal-key`: the key that signs recordings: its fingerprint, and another one in its place.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::EncodePublicKey;
use sha2::{Digest, Sha256};

use crate::app;
use crate::config::Settings;
use crate::config::secrets::{Secrets, begin_seal_key, finish_seal_key};
use crate::recorder::render::hex;
use crate::recorder::seal_keys::{is_newest, rotate};
use crate::vault::Keys;

/// The key that signs recordings.
#[derive(Args, Clone, Debug)]
pub struct SealKeyArguments {
    #[command(subcommand)]
    act: Act,
}

#[derive(Clone, Debug, Subcommand)]
enum Act {
    /// Print the fingerprint of the key in use (SHA-256 of its DER form): give it to those who check exports.
    Show(Where),
    /// Put another key in its place, while Vigie is stopped. The old one signs the line that makes the new one known, the
    /// new one vouches for the old one, and the old public key stays beside the seal log: older seals verify as before.
    Rotate(Where),
}

#[derive(Args, Clone, Debug)]
struct Where {
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = "config/vigie.toml")]
    config: PathBuf,
}

/// Shows or changes the key; exit status 0 when that was done.
pub fn run(arguments: &SealKeyArguments) -> ExitCode {
    let done = match &arguments.act {
        Act::Show(at) => show(at),
        Act::Rotate(at) => change(at),
    };
    match done {
        Ok(told) => {
            println!("{told}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("vigie seal-key: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn show(at: &Where) -> anyhow::Result<String> {
    let settings = Settings::read(&at.config).map_err(|faults| anyhow::anyhow!("{faults}"))?;
    let secrets = Secrets::open_or_make(&settings)?;
    fingerprint(&secrets.seal_key)
}

fn change(at: &Where) -> anyhow::Result<String> {
    let settings = Settings::read(&at.config).map_err(|faults| anyhow::anyhow!("{faults}"))?;
    let _locks = app::lock(&settings)?;
    let secrets = Secrets::open_or_make(&settings)?;
    let parts = app::recorder_parts(&settings, &secrets, Keys::off());
    // What an interrupted change has begun with is gone on with: its line may be in the log already.
    let new = begin_seal_key(&settings)?;
    if !is_newest(&parts, &new)? {
        rotate(&parts, &new)?;
    }
    finish_seal_key(&settings)?;
    let old = fingerprint(&secrets.seal_key)?;
    Ok(format!("{}\nis the new key's fingerprint; it was {old}. Start Vigie again.", fingerprint(&new)?))
}

fn fingerprint(key: &SigningKey) -> anyhow::Result<String> {
    let der = key.verifying_key().to_public_key_der()?;
    Ok(hex(&Sha256::digest(der.as_bytes())))
}
