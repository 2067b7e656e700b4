//! `vigie export`: recordings with all that proves them, asked for by one person and approved by another.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Value, json};

use super::ask::reachable;
use crate::config::Settings;

/// How long the server may take to answer; a zip is read for as long as it comes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Export recordings from the running server: `vigie export CALL… --reason WHY` asks; another person, with a token of their
/// own, gives `--approve ID`; then either fetches the zip with `--fetch ID --output FILE`. VERIFY.txt in it says how anybody
/// checks it with sha256sum, openssl, and sox or ffmpeg. Exit status 0 when it was done.
#[derive(Args, Clone, Debug)]
pub struct ExportArguments {
    /// The calls whose recordings are asked for.
    #[arg(value_name = "CALL", required_unless_present_any = ["approve", "refuse", "fetch"])]
    pub calls: Vec<String>,
    /// Why; it is written to the audit.
    #[arg(long, value_name = "WORDS")]
    pub reason: String,
    /// Ask for the newest redacted copies in place of the originals.
    #[arg(long)]
    pub redacted: bool,
    /// Approve what another person has asked for.
    #[arg(long, value_name = "EXPORT", conflicts_with_all = ["calls", "refuse", "fetch"])]
    pub approve: Option<String>,
    /// Refuse what another person has asked for.
    #[arg(long, value_name = "EXPORT", conflicts_with_all = ["calls", "fetch"])]
    pub refuse: Option<String>,
    /// Fetch what was approved.
    #[arg(long, value_name = "EXPORT", conflicts_with = "calls", requires = "output")]
    pub fetch: Option<String>,
    /// Where the zip is written; the file must not be there yet.
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// A file with the token of whoever does this.
    #[arg(long, value_name = "FILE")]
    pub token_file: PathBuf,
    /// The configuration file of the running server: says where its API is.
    #[arg(long, value_name = "FILE", default_value = "config/vigie.toml")]
    pub config: PathBuf,
    /// Where the server's API is, when it is not where the file says.
    #[arg(long, value_name = "URL")]
    pub api: Option<String>,
}

/// Asks the running server.
pub fn run(arguments: &ExportArguments) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(anyhow::Error::from);
    match runtime.and_then(|runtime| runtime.block_on(carry_out(arguments))) {
        Ok(told) => {
            println!("{told}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("vigie export: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn carry_out(arguments: &ExportArguments) -> anyhow::Result<String> {
    let base = match &arguments.api {
        Some(api) => api.trim_end_matches('/').to_owned(),
        None => {
            let settings = Settings::read(&arguments.config).map_err(|faults| anyhow::anyhow!("{faults}"))?;
            format!("http://{}", reachable(settings.web.listen))
        }
    };
    let file = &arguments.token_file;
    let token = std::fs::read_to_string(file).with_context(|| format!("reading a token from {}", file.display()))?;
    // Another part of this process may have installed it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().connect_timeout(PATIENCE).build()?;
    let door = Door { client, base: format!("{base}/api/v1/exports"), token: token.trim().to_owned() };
    let reason = json!({ "reason": arguments.reason });
    if let Some(export) = &arguments.approve {
        door.post(&format!("/{export}/approve"), &reason).await?;
        return Ok(format!("approved: vigie export --fetch {export} --output FILE fetches it within seven days"));
    }
    if let Some(export) = &arguments.refuse {
        door.post(&format!("/{export}/refuse"), &reason).await?;
        return Ok("refused".to_owned());
    }
    if let (Some(export), Some(output)) = (&arguments.fetch, &arguments.output) {
        let bytes = door.fetch(export, &arguments.reason, output).await?;
        return Ok(format!("{bytes} bytes in {}; VERIFY.txt in it says how it is checked", output.display()));
    }
    let asked = json!({ "calls": arguments.calls, "reason": arguments.reason, "is_redacted": arguments.redacted });
    let made = door.post("", &asked).await?;
    let id = made["id"].as_str().unwrap_or_default();
    Ok(format!(
        "{id}\nis asked for; another person must approve it: vigie export --approve {id} --reason WORDS --token-file FILE"
    ))
}

/// The running server's door.
struct Door {
    client: reqwest::Client,
    base: String,
    token: String,
}

impl Door {
    async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let request = self.client.post(format!("{}{path}", self.base)).header("Content-Type", "application/json");
        let response = request.bearer_auth(&self.token).body(body.to_string()).timeout(PATIENCE).send().await;
        let response = response.context("no server answers; is it running? --api says where it is")?;
        let (status, text) = (response.status(), response.text().await?);
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        if !status.is_success() {
            bail!("{} ({status})", answer["detail"].as_str().unwrap_or(&text));
        }
        Ok(answer)
    }

    /// Writes the zip beside its name and gives it that when it is whole.
    async fn fetch(&self, export: &str, reason: &str, output: &std::path::Path) -> anyhow::Result<u64> {
        if output.exists() {
            bail!("{} is there already: name another file", output.display());
        }
        let request = self.client.get(format!("{}/{export}/archive", self.base));
        let request = request.header("X-Access-Reason", reqwest::header::HeaderValue::from_bytes(reason.as_bytes())?);
        let response = request.bearer_auth(&self.token).send().await;
        let mut response = response.context("no server answers; is it running? --api says where it is")?;
        if !response.status().is_success() {
            let (status, text) = (response.status(), response.text().await?);
            let answer: Value = serde_json::from_str(&text).unwrap_or_default();
            bail!("{} ({status})", answer["detail"].as_str().unwrap_or(&text));
        }
        let part = output.with_extension("part");
        let mut file = std::fs::File::create(&part).with_context(|| format!("writing {}", part.display()))?;
        let mut bytes = 0;
        while let Some(piece) = response.chunk().await.context("the server broke off; what came is no whole zip")? {
            file.write_all(&piece)?;
            bytes += piece.len() as u64;
        }
        file.sync_all()?;
        std::fs::rename(&part, output)?;
        Ok(bytes)
    }
}
