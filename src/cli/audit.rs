//! `vigie audit verify`: whether the audit is as it was written; reads the database alone, also of a running server.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use ed25519_dalek::VerifyingKey;
use ed25519_dalek::pkcs8::DecodePublicKey;

use crate::config::Settings;
use crate::storage::Storage;
use crate::storage::audit_chain::Head;
use crate::storage::audit_check::{AuditVerdict, check, head_file};

/// The audit: who listened to what, who did what, and why.
#[derive(Args, Clone, Debug)]
pub struct AuditArguments {
    #[command(subcommand)]
    act: AuditAct,
}

#[derive(Clone, Debug, Subcommand)]
enum AuditAct {
    /// Check that no entry was changed, removed or put in: every entry's hash, its link to the one before, its signature, and
    /// the signed head that says how far the audit goes; and that every legal hold stands as entries tell that it was placed and
    /// released. Exit status 0 when everything holds, 1 when not.
    Verify(VerifyArguments),
}

#[derive(Args, Clone, Debug)]
struct VerifyArguments {
    /// The configuration file of the server: says where the database and the head are.
    #[arg(long, value_name = "FILE", default_value = "config/vigie.toml")]
    config: PathBuf,
    /// A public key (PEM) from elsewhere, also a former one; may stand several times. Without it the server's own are used:
    /// `STATE/secrets/seal-key.pub.pem` and those beside the seal logs, which proves less.
    #[arg(long = "key", value_name = "FILE")]
    keys: Vec<PathBuf>,
    /// Print the result as one JSON object.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(arguments: &AuditArguments) -> ExitCode {
    let AuditAct::Verify(arguments) = &arguments.act;
    match verify(arguments) {
        Ok(verdict) => {
            if arguments.json {
                println!("{:#}", as_json(&verdict));
            } else {
                print!("{}", in_words(&verdict));
            }
            if verdict.findings_total == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(told) => {
            eprintln!("vigie audit verify: {told}");
            ExitCode::FAILURE
        }
    }
}

fn verify(arguments: &VerifyArguments) -> Result<AuditVerdict, String> {
    let settings = Settings::read(&arguments.config).map_err(|faults| faults.to_string())?;
    let keys = if arguments.keys.is_empty() { own_keys(&settings)? } else { read_keys(&arguments.keys)? };
    let file = head_file(&settings.node.state);
    let head = Head::read(&file).map_err(|error| format!("the head {} cannot be read: {error}", file.display()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start the runtime: {error}"))?;
    runtime.block_on(async {
        let storage = Storage::open_to_read(&settings.storage).await.map_err(|error| error.to_string())?;
        check(&storage, &keys, head.as_ref()).await.map_err(|error| error.to_string())
    })
}

fn own_keys(settings: &Settings) -> Result<Vec<VerifyingKey>, String> {
    let mut files = vec![settings.node.state.join("secrets").join("seal-key.pub.pem")];
    let beside = settings.recording.folder.join(crate::recorder::layout::SEAL_LOG_FOLDER);
    let listed = std::fs::read_dir(beside).into_iter().flatten().flatten().map(|entry| entry.path());
    files.extend(listed.filter(|path| path.to_string_lossy().ends_with(".pub.pem")));
    read_keys(&files)
}

fn read_keys(files: &[PathBuf]) -> Result<Vec<VerifyingKey>, String> {
    files.iter().map(|file| read_key(file)).collect()
}

fn read_key(file: &Path) -> Result<VerifyingKey, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
    let key = VerifyingKey::from_public_key_pem(text.trim());
    key.map_err(|_| format!("{} is no Ed25519 public key in PEM form (BEGIN PUBLIC KEY)", file.display()))
}

fn as_json(verdict: &AuditVerdict) -> serde_json::Value {
    let findings: Vec<_> = verdict
        .findings
        .iter()
        .map(|(position, what)| serde_json::json!({ "position": position, "what": what }))
        .collect();
    serde_json::json!({
        "sound": verdict.findings_total == 0,
        "entries": verdict.entries,
        "last": verdict.last,
        "findings": findings,
        "findings_total": verdict.findings_total,
    })
}

fn in_words(verdict: &AuditVerdict) -> String {
    let told = |(position, what): &(i64, String)| match position {
        0 => format!("WRONG {what}\n"),
        position => format!("WRONG entry {position}: {what}\n"),
    };
    let mut text: String = verdict.findings.iter().map(told).collect();
    let entries = match verdict.entries {
        1 => "1 entry of the audit checked".to_owned(),
        n => format!("{n} entries of the audit checked"),
    };
    text.push_str(&match verdict.findings_total {
        0 => format!("{entries}: everything is as it was written.\n"),
        1 => format!("{entries}: 1 thing is wrong; the audit is NOT as it was written.\n"),
        n => format!("{entries}: {n} things are wrong; the audit is NOT as it was written.\n"),
    });
    text
}
