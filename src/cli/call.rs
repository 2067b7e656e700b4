//! `vigie call`: one real call with a spoken voice, for trying a centre without a softphone.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use super::phone::{Phone, PhoneNews, PhoneOrder, PhoneSetup};

/// The longest such call.
const DURATION_MAX: Duration = Duration::from_secs(3600);

const VOICE: &[u8] = include_bytes!("../../config/sounds/demo/caller-cherbourg.wav");

/// Dial a number at a running Vigie as a caller from a trunk would: real SIP and RTP, with a spoken voice.
#[derive(clap::Args, Clone, Debug)]
pub struct CallArguments {
    /// The number, as the carrier writes it.
    pub number: String,
    /// Where the server listens for SIP.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:5060")]
    pub server: SocketAddr,
    /// The address to call from: one of a trunk's `peers`.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.2")]
    pub from: IpAddr,
    /// The caller's number (the default is of those kept for fiction).
    #[arg(long, value_name = "NUMBER", default_value = "+33639980001")]
    pub caller: String,
    /// What the caller says, again and again: a WAV file, mono, 8 kHz, 16 bit.
    #[arg(long, value_name = "FILE")]
    pub say: Option<PathBuf>,
    /// Write what the caller hears to this WAV file.
    #[arg(long, value_name = "FILE")]
    pub hear: Option<PathBuf>,
    /// Hang up after so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub seconds: u64,
}

/// Makes the call and tells how it goes; exit status 0 when it was accepted.
pub fn run(arguments: &CallArguments) -> ExitCode {
    let called = tokio::runtime::Runtime::new().map_err(anyhow::Error::from);
    match called.and_then(|runtime| runtime.block_on(call(arguments))) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("vigie call: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn call(arguments: &CallArguments) -> anyhow::Result<bool> {
    let voice = match &arguments.say {
        Some(file) => std::fs::read(file).with_context(|| format!("reading {}", file.display()))?,
        None => VOICE.to_vec(),
    };
    let setup = PhoneSetup {
        address: arguments.from,
        server: arguments.server,
        voice: samples(&voice)?,
        identity: arguments.caller.clone(),
        name: "vigie call".into(),
        rings_for: Duration::ZERO,
        keeps_heard: arguments.hear.is_some(),
    };
    let mut phone = Phone::start(setup).await.with_context(|| format!("binding to {}", arguments.from))?;
    println!("dialling {} at {} from {}", arguments.number, arguments.server, arguments.from);
    phone.order(PhoneOrder::Dial(arguments.number.clone())).await;
    let patience = Duration::from_secs(arguments.seconds).min(DURATION_MAX);
    let mut accepted = false;
    let news = phone.wait_for(Duration::from_secs(40), |news| !matches!(news, PhoneNews::Ringing)).await;
    if news == Some(PhoneNews::Established) {
        accepted = true;
        println!("accepted; talking for at most {} s (Ctrl-C hangs up)", patience.as_secs());
        tokio::select! {
            over = phone.wait_for(patience, |news| matches!(news, PhoneNews::Over { .. })) => {
                if over.is_some() {
                    tell(over.as_ref(), "the other side hung up");
                    write_heard(arguments.hear.as_deref(), &mut phone).await?;
                    return Ok(true);
                }
            }
            _ = tokio::signal::ctrl_c() => {}
        }
        phone.order(PhoneOrder::HangUp).await;
        let over = phone.wait_for(Duration::from_secs(10), |news| matches!(news, PhoneNews::Over { .. })).await;
        tell(over.as_ref(), "hung up");
    } else {
        tell(news.as_ref(), "not accepted");
    }
    write_heard(arguments.hear.as_deref(), &mut phone).await?;
    Ok(accepted)
}

fn tell(news: Option<&PhoneNews>, what: &str) {
    match news {
        Some(PhoneNews::Over { heard, status: None }) => {
            println!("{what}; heard {} RTP packets at {:.0} dBFS", heard.packets, heard.level_dbfs);
        }
        Some(PhoneNews::Over { status: Some(403), .. }) => {
            println!("{what}: 403; is the address that you call from one of a trunk's `peers`?");
        }
        Some(PhoneNews::Over { status: Some(status), .. }) => println!("{what}: {status}"),
        Some(PhoneNews::Failed(status, why)) => println!("{what}: {status} {why}"),
        Some(PhoneNews::Registered | PhoneNews::Unregistered | PhoneNews::Ringing | PhoneNews::Established) | None => {
            println!("{what}: no answer; is the server running?");
        }
    }
}

async fn write_heard(file: Option<&Path>, phone: &mut Phone) -> anyhow::Result<()> {
    let Some(file) = file else { return Ok(()) };
    let spec =
        hound::WavSpec { channels: 1, sample_rate: 8000, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut writer = hound::WavWriter::create(file, spec).with_context(|| format!("making {}", file.display()))?;
    for sample in phone.heard().await {
        writer.write_sample(sample)?;
    }
    writer.finalize()?;
    println!("what was heard is in {}", file.display());
    Ok(())
}

/// Reads a voice.
///
/// # Errors
/// When it is no WAV of 8 kHz, mono, 16 bit.
pub fn samples(wav: &[u8]) -> anyhow::Result<Arc<[i16]>> {
    let reader = hound::WavReader::new(wav).context("reading the voice: it is no WAV file")?;
    let spec = reader.spec();
    anyhow::ensure!(
        (spec.channels, spec.sample_rate, spec.bits_per_sample) == (1, 8000, 16),
        "the voice must be mono, 8000 Hz, 16 bit; make it with: sox IN.wav -r 8000 -c 1 -b 16 OUT.wav"
    );
    let samples: Result<Vec<i16>, _> = reader.into_samples().collect();
    Ok(samples?.into())
}
