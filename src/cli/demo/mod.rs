//! `vigie demo`: the whole server, a short evening of real calls, and the proof of what became of them.

mod proof;
mod receiver;
mod scenario;
mod story;

use std::net::UdpSocket;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use serde_json::json;

use crate::app::{self, App};
use crate::cli::serve;
use crate::config::Settings;
use receiver::Receiver;
use story::Story;

/// How long the calls of an interrupted evening may take to end.
const ENDING_PATIENCE: Duration = Duration::from_secs(5);

/// How long the last events may take to reach the receiver.
const DELIVERY_PATIENCE: Duration = Duration::from_secs(20);

const CENTRE: &str = include_str!("centre.toml");

macro_rules! sounds {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_bytes!(concat!("../../../config/sounds/", $name)).as_slice())),+]
    };
}

const SOUNDS: [(&str, &[u8]); 10] = sounds![
    "greeting-fr.wav",
    "greeting-en.wav",
    "sorry-fr.wav",
    "sorry-en.wav",
    "nobody-fr.wav",
    "nobody-en.wav",
    "ready-fr.wav",
    "longer-fr.wav",
    "paused-fr.wav",
    "music.wav",
];

/// Play a short evening with the whole server: two regulators, four callers, real SIP, RTP, recordings and webhooks.
///
/// Everything is on this machine (127.0.0.1 and 127.0.0.2) and takes about half a minute. Exit status 0, and
/// `demo: ok` as the last line, only if every call was answered, recorded, sealed and told as it should be.
#[derive(Debug, clap::Args)]
pub struct DemoArguments {
    /// Put all state here (DIR/recordings, DIR/state…) instead of a fresh temporary folder.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Write JSON Lines to standard output and the story to standard error.
    ///
    /// Each line has `type` and `at_ms` (milliseconds since the start). Types: `story` (`text`), `call` (`call`,
    /// `line`, `region`, `skills`, `caller`, `outcome`, `regulator`, `reasoning`, `wait_ms`, `talk_ms`, `recording`),
    /// `event` (`event`: the CloudEvent as the receiver got and verified it), `check` (`what`, `holds`), with `--keep`
    /// `kept` (`ok`, `sip`, `api`, `token`, `users` with their passwords, `dial`, `dial_from`), and last `result` (`ok`,
    /// `held`, `failed`, `dir`; or `ok`, `error`).
    #[arg(long)]
    json: bool,
    /// Leave the server up afterwards, and say how to call in with one's own softphone.
    #[arg(long)]
    keep: bool,
}

/// Runs the demo.
pub fn run(args: &DemoArguments) -> ExitCode {
    let story = Story::new(args.json);
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("demo: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(play(args, &story)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            story.machine("result", json!({ "ok": false, "error": format!("{error:#}") }));
            story.say(&format!("demo: failed: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn play(args: &DemoArguments, story: &Story) -> anyhow::Result<bool> {
    let dir = prepare_folder(args.dir.as_deref())?;
    let receiver = Receiver::start().await.context("starting the demo's webhook receiver")?;
    let settings = settings(&dir, &receiver)?;
    let ring_folder = settings.media.ring_folder.clone();
    story.tell(&format!("starting Vigie; all its state is in {}", dir.display()));
    let app = app::start(settings.clone()).await?;
    let mut signals = serve::Signals::listen()?;
    let played = tokio::select! {
        played = play_and_prove(&app, &settings, &dir, &receiver, story) => played,
        () = signals.told_to_stop() => Err(anyhow::anyhow!("interrupted")),
    };
    let verdict = match played {
        Ok(verdict) => verdict,
        Err(error) => {
            app.end_all().await;
            let _ = tokio::time::timeout(ENDING_PATIENCE, app.drain()).await;
            app.stop().await;
            let _ = std::fs::remove_dir_all(ring_folder);
            return Err(error);
        }
    };
    let ok = verdict.failed.is_empty();
    story.say("");
    story.say(&format!(
        "{} checks held, {} did not; everything is in {}",
        verdict.held,
        verdict.failed.len(),
        dir.display()
    ));
    if args.keep {
        tell_how_to_use_it(&app, &dir, ok, story)?;
        serve::stop_when_told(app, signals).await;
    } else {
        app.drain().await;
        app.stop().await;
    }
    // The rings are empty by now, and the folder is the demo's own.
    let _ = std::fs::remove_dir_all(ring_folder);
    story.machine(
        "result",
        json!({ "ok": ok, "held": verdict.held, "failed": verdict.failed, "dir": dir.display().to_string() }),
    );
    story.say(if ok { "demo: ok" } else { "demo: failed" });
    Ok(ok)
}

async fn play_and_prove(
    app: &App,
    settings: &Settings,
    dir: &Path,
    receiver: &Receiver,
    story: &Story,
) -> anyhow::Result<proof::Verdict> {
    let secrets = crate::config::secrets::Secrets::open_or_make(settings)?;
    let texts = secrets.endpoint_secrets.get("demo").map(Vec::as_slice).unwrap_or_default();
    receiver.trust(texts.iter().filter_map(|text| text.parse().ok()).collect());
    let sip = app.sip.first().copied().context("no SIP listener")?;
    story
        .tell(&format!("SIP on udp:{sip}, API on http://{}, webhook receiver on http://{}", app.web, receiver.address));
    let experience = scenario::play(sip, |user| password(dir, user), story).await?;
    wait_for_deliveries(app, receiver).await;
    proof::prove(&app.storage, &settings.recording.folder, receiver, &experience, story).await
}

fn prepare_folder(dir: Option<&Path>) -> anyhow::Result<PathBuf> {
    let dir = match dir {
        Some(dir) => {
            std::fs::create_dir_all(dir).with_context(|| format!("making the folder {}", dir.display()))?;
            dir.to_owned()
        }
        None => fresh_folder().context("making a temporary folder; give one with --dir")?,
    };
    let dir = dir.canonicalize().with_context(|| format!("finding the folder {}", dir.display()))?;
    std::fs::create_dir_all(dir.join("sounds")).context("making the folder of sounds")?;
    for (name, bytes) in SOUNDS {
        std::fs::write(dir.join("sounds").join(name), bytes).with_context(|| format!("writing sounds/{name}"))?;
    }
    Ok(dir)
}

/// A temporary folder of our own, that nobody else can have made before or read; its name has the time because
/// process ids come again, in containers nearly always the same one.
fn fresh_folder() -> std::io::Result<PathBuf> {
    let dir = std::env::temp_dir().join(format!("vigie-demo-{}-{}", crate::clock::utc().0, std::process::id()));
    std::fs::DirBuilder::new().mode(0o700).create(&dir)?;
    Ok(dir)
}

/// The demo's own configuration, on ports that are free now.
fn settings(dir: &Path, receiver: &Receiver) -> anyhow::Result<Settings> {
    let sip_port = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr())?.port();
    let web_port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr())?.port();
    let id = std::process::id();
    let first = media_ports(id, &[sip_port, web_port, receiver.address.port()]);
    let text = CENTRE
        .replace("@DIR@", &dir.display().to_string())
        .replace("@SIP_PORT@", &sip_port.to_string())
        .replace("@WEB_PORT@", &web_port.to_string())
        .replace("@HOOK_PORT@", &receiver.address.port().to_string())
        .replace("@RTP_PORTS@", &format!("{first}-{}", first + 999))
        .replace("@ID@", &id.to_string());
    let file = dir.join("vigie.toml");
    std::fs::write(&file, &text).context("writing vigie.toml")?;
    Settings::from_text(&text, &file).map_err(|faults| anyhow::anyhow!("the demo's own configuration: {faults}"))
}

/// The first of a thousand media ports that hold none of `taken`: mostly below the ports that systems deal out, and not
/// the same for two demos at once (a port that is in use is passed over).
fn media_ports(id: u32, taken: &[u16]) -> u32 {
    let blocks = (0..100).map(|next| 12_000 + (id + next) % 100 * 200);
    let is_free = |first: &u32| !taken.iter().any(|port| (*first..*first + 1000).contains(&u32::from(*port)));
    blocks.into_iter().find(is_free).unwrap_or(12_000)
}

fn password(dir: &Path, user: &str) -> anyhow::Result<String> {
    let passwords = secret(dir, "passwords.txt")?;
    let mut lines = passwords.lines().filter_map(|line| line.split_once(char::is_whitespace));
    let found = lines.find(|(id, _)| *id == user).map(|(_, password)| password.trim().to_owned());
    found.with_context(|| format!("no password for {user} in passwords.txt"))
}

fn secret(dir: &Path, name: &str) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(dir.join("state/secrets").join(name));
    Ok(text.with_context(|| format!("reading state/secrets/{name}"))?.trim().to_owned())
}

/// The last events are on their way once the calls are over: waits until every answered call is sealed and told.
async fn wait_for_deliveries(app: &App, receiver: &Receiver) {
    let until = tokio::time::Instant::now() + DELIVERY_PATIENCE;
    while tokio::time::Instant::now() < until {
        let delivered = receiver.delivered();
        let count = |kind: &str| delivered.iter().filter(|one| one.kind == kind).count();
        if count("call.ended") >= scenario::CALLERS.len() && count("recording.sealed") >= 3 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    app.flush().await;
}

/// The secrets that it shows are the demo's own, made for this run, on this machine alone.
fn tell_how_to_use_it(app: &App, dir: &Path, ok: bool, story: &Story) -> anyhow::Result<()> {
    let sip = app.sip.first().copied().context("no SIP listener")?;
    let (yann, emma) = (password(dir, "yann")?, password(dir, "emma")?);
    let token = secret(dir, "api-token-admin")?;
    let (api, dir) = (format!("http://{}/api/v1", app.web), dir.display());
    story.say(&format!(
        "
The server stays up. To try it with your own phones, on this machine:
  register    a softphone bound to 127.0.0.1 at {sip} (UDP), as
              user yann, password {yann} (Cherbourg, children) or
              user emma, password {emma} (Rouen, English)
  call in     from a phone bound to 127.0.0.2 dial 0261910101 (Cherbourg) at {sip}, for instance
              vigie call 0261910101 --server {sip} --seconds 20
              sipp {sip} -i 127.0.0.2 -s 0261910101 -sn uac -m 1 -d 10000
  API         {api} with the token {token}
              curl -H \"Authorization: Bearer {token}\" {api}/calls
  files       {dir}: recordings, state (its secrets, with the tokens and passwords, in state/secrets)
  verify      vigie verify {dir}/recordings
Ctrl-C stops it."
    ));
    let users = json!({ "yann": yann, "emma": emma });
    story.machine(
        "kept",
        json!({ "ok": ok, "sip": sip.to_string(), "api": api, "token": token, "users": users,
            "dial": "0261910101", "dial_from": "127.0.0.2" }),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_media_ports_never_hold_another_port_of_the_demo() {
        for id in 0..1000 {
            for port in [12_000, 12_999, 20_000, 31_999, 32_768, 50_165, 65_535] {
                let first = media_ports(id, &[port]);
                assert!(!(first..first + 1000).contains(&u32::from(port)) && first + 999 < 65_536, "{id} {port}");
            }
        }
    }
}
