//! `vigie load`: thousands of real calls from one thread, against any SIP server, and what became of each packet.

mod bencode;
mod caller;
mod fleet;
mod ng;
mod numbered;
mod recordings;
mod registrations;
mod result;
mod setup;
mod sip;
mod spread;
mod voices;

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;

use crate::model::Codec;
use fleet::{Fleet, Pace, SetupPlan};
use ng::NgPlan;
use result::LoadResult;
use sip::SipPlan;
use voices::Speech;

/// The most calls of one run: two sockets each.
const CALLS_MAX: u32 = 100_000;
/// The longest that one call talks.
const DURATION_MAX_S: u64 = 3600;
/// How long sealing may take after the last call.
const SEALING_PATIENCE: Duration = Duration::from_secs(120);

/// Plays many callers and the regulators who answer them, with real RTP both ways, and says what became of every call
/// and every packet: set-up times, loss, delay, and whether the recordings are complete.
///
/// Each packet's payload names its leg, its number and when it was sent, so that loss is exact and a packet that reaches
/// somebody else's call is noticed. A leg counts from 300 ms after it heard its far end first until --duration is over.
/// All of it runs on one thread; when that thread itself is late, the result says so and is not to be trusted.
///
/// Against Vigie (callers from a trunk's address, regulators that register with the passwords of the first start):
///
///   vigie load --callers-to sip:+33261910101@127.0.0.1:5060 --passwords state/secrets/passwords.txt
///       --calls 100 --rate 10 --duration 30 --recordings recordings
///
/// Against another SIP server, which sends the calls to a place that it knows:
///
///   vigie load --callers-to sip:600@192.0.2.1 --from 192.0.2.7 --answer-at 192.0.2.7:5070 --calls 100
///
/// Against one that answers by itself and sends back what it hears (a PBX's echo test, `sipp -sn uas -rtp_echo`): then
/// nobody is rung, a packet counts as lost whichever way it was lost, and the delay is there and back:
///
///   vigie load --callers-to sip:600@192.0.2.1 --from 192.0.2.7 --echo --codec pcmu --calls 100
///
/// What a run could not check is said at its end ("not checked", in JSON `not_checked`).
///
/// Against a media relay that speaks rtpengine's ng protocol, media alone:
///
///   vigie load --ng 127.0.0.1:2223 --from 127.0.0.1 --calls 400 --rate 50 --duration 60
///
/// The exit status is 0 when every call was set up and talked, nothing was lost and every recording is complete.
#[derive(clap::Args, Clone, Debug)]
#[command(verbatim_doc_comment)]
pub struct LoadArguments {
    /// What callers dial, and at which server: `sip:USER@HOST:PORT` or `sip:USER@HOST`, over UDP.
    #[arg(long, value_name = "URI", required_unless_present = "ng")]
    pub callers_to: Option<String>,
    /// The address that callers call from: for Vigie one of a trunk's `peers`.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.2")]
    pub from: IpAddr,
    /// Where regulators are rung; port 0 takes any, which needs --passwords.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    pub answer_at: SocketAddr,
    /// Regulators register first: a file with "USER PASSWORD" a line. Without it they only wait for calls.
    #[arg(long, value_name = "FILE")]
    pub passwords: Option<PathBuf>,
    /// So many of them, the first of the file. Default: all.
    #[arg(long, value_name = "COUNT")]
    pub regulators: Option<usize>,
    /// How long a regulator's phone rings before it is picked up.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub ring_ms: u64,
    /// Set calls up by the ng protocol at this relay, instead of by SIP.
    #[arg(long, value_name = "ADDRESS:PORT", conflicts_with_all = ["callers_to", "passwords"])]
    pub ng: Option<SocketAddr>,
    /// With --ng: ask the relay to record each call.
    #[arg(long, requires = "ng")]
    pub ng_record: bool,
    /// Calls in all, 1 to 100000.
    #[arg(long, value_name = "COUNT", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=CALLS_MAX as i64))]
    pub calls: u32,
    /// New calls a second, 0.1 to 2000.
    #[arg(long, value_name = "PER_SECOND", default_value_t = 10.0)]
    pub rate: f64,
    /// How long each call talks, 1 to 3600. Calls at once are the lesser of --calls and --rate times this.
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=DURATION_MAX_S))]
    pub duration: u64,
    /// How long a call may take until both sides hear each other, 1 to 3600.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=DURATION_MAX_S))]
    pub patience: u64,
    /// What both sides speak: pcma, pcmu, g722 or opus.
    #[arg(long, value_name = "CODEC", default_value = "pcma", value_parser = read_codec)]
    pub codec: Codec,
    /// What regulators speak, when it is another: the server transcodes. Packets are then counted by the server's own
    /// sequence, and their delay is not known; the numbers are looked for in the recordings as ever.
    #[arg(long, value_name = "CODEC", value_parser = read_codec, conflicts_with = "ng")]
    pub regulator_codec: Option<Codec>,
    /// The regulators' media are SRTP, with keys by SDP (SDES): the server must offer it to them.
    #[arg(long, conflicts_with = "ng")]
    pub srtp: bool,
    /// The far end answers by itself and sends back what it hears: nobody is rung.
    #[arg(long, conflicts_with_all = ["ng", "passwords", "regulators", "regulator_codec", "srtp", "recordings"])]
    pub echo: bool,
    /// The first caller's number, digits; 10000 callers from there on take turns. The default is kept for fiction.
    #[arg(long, value_name = "NUMBER", default_value_t = 33_639_980_000)]
    pub caller: u64,
    /// Vigie's recordings folder on this machine: afterwards every counted packet is looked for there.
    #[arg(long, value_name = "FOLDER")]
    pub recordings: Option<PathBuf>,
    /// Write the result as JSON to this file; "-" for standard output.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Plays the load; exit status 0 when all went well.
pub fn run(arguments: &LoadArguments) -> ExitCode {
    match play(arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("vigie load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn play(arguments: &LoadArguments) -> anyhow::Result<bool> {
    anyhow::ensure!((0.1..=2000.0).contains(&arguments.rate), "--rate must be 0.1 to 2000");
    raise_descriptor_limit();
    let mut seed = [0; 4];
    getrandom::fill(&mut seed).map_err(std::io::Error::other)?;
    let run = u32::from_be_bytes(seed);
    let speech = Speech {
        run,
        codec: arguments.codec,
        regulator_codec: arguments.regulator_codec.unwrap_or(arguments.codec),
        is_protected: arguments.srtp,
        duration: Duration::from_secs(arguments.duration),
        is_echoed: arguments.echo,
    };
    let pace = Pace { calls: arguments.calls, rate: arguments.rate, patience: Duration::from_secs(arguments.patience) };
    let plan = plan(arguments, run)?;
    let mut fleet = Fleet::new(plan, speech, pace).with_context(|| {
        format!("binding to {} and {}: are both addresses of this machine?", arguments.from, arguments.answer_at)
    })?;
    fleet.run(&mut |fleet, passed| eprintln!("{}", result::progress(fleet, passed)))?;
    let accounts: Vec<_> = fleet.voices.accounts().collect();
    let found = arguments.recordings.as_deref().map(|folder| {
        eprintln!("looking for every counted packet in {}", folder.display());
        recordings::check(folder, run, &accounts, SEALING_PATIENCE)
    });
    let result = LoadResult::of(&fleet, arguments.calls, &accounts, found);
    match arguments.json.as_deref() {
        Some(file) if file == Path::new("-") => {
            eprintln!("{}", result.told());
            println!("{}", result.json());
        }
        Some(file) => {
            println!("{}", result.told());
            std::fs::write(file, format!("{}\n", result.json()))
                .with_context(|| format!("writing the result to {}", file.display()))?;
        }
        None => println!("{}", result.told()),
    }
    Ok(result.is_good())
}

fn plan(arguments: &LoadArguments, run: u32) -> anyhow::Result<SetupPlan> {
    if let Some(relay) = arguments.ng {
        let address = arguments.from;
        return Ok(SetupPlan::Ng(NgPlan { run, relay, address, records: arguments.ng_record }));
    }
    let uri = arguments.callers_to.as_deref().unwrap_or_default();
    let (user, server) = read_target(uri)?;
    let mut accounts = match &arguments.passwords {
        Some(file) => read_passwords(file)?,
        None => Vec::new(),
    };
    accounts.truncate(arguments.regulators.unwrap_or(usize::MAX));
    anyhow::ensure!(
        arguments.echo || !accounts.is_empty() || arguments.answer_at.port() != 0,
        "nobody would answer: give --passwords, so that regulators register, --answer-at with the port that the server \
         sends its calls to, or --echo when it answers by itself and sends back what it hears"
    );
    let plan = SipPlan {
        run,
        user,
        server,
        callers: arguments.from,
        regulators: arguments.answer_at,
        caller_first: arguments.caller,
        rings_for: Duration::from_millis(arguments.ring_ms),
    };
    Ok(SetupPlan::Sip(plan, accounts))
}

/// The user part and the server of `sip:USER@HOST[:PORT]`.
fn read_target(uri: &str) -> anyhow::Result<(String, SocketAddr)> {
    let parts = uri.strip_prefix("sip:").and_then(|rest| rest.split_once('@'));
    let Some((user, host)) = parts.filter(|(user, host)| !user.is_empty() && !host.is_empty()) else {
        anyhow::bail!("--callers-to {uri}: write it as sip:USER@HOST or sip:USER@HOST:PORT");
    };
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let whole = if has_port { host.to_owned() } else { format!("{host}:5060") };
    let server = whole.to_socket_addrs().with_context(|| format!("looking {host} up"))?.next();
    Ok((user.to_owned(), server.with_context(|| format!("{host} has no address"))?))
}

/// "USER PASSWORD" a line; what begins with # is passed over.
fn read_passwords(file: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("reading the passwords in {}", file.display()))?;
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let accounts: Vec<_> = lines
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?.to_owned(), words.next()?.to_owned()))
        })
        .collect();
    anyhow::ensure!(!accounts.is_empty(), "{} holds no line with a user and a password", file.display());
    Ok(accounts)
}

fn read_codec(text: &str) -> Result<Codec, String> {
    match text.to_ascii_lowercase().as_str() {
        "pcma" => Ok(Codec::Pcma),
        "pcmu" => Ok(Codec::Pcmu),
        "g722" => Ok(Codec::G722),
        "opus" => Ok(Codec::Opus),
        _ => Err("pcma, pcmu, g722 or opus".to_owned()),
    }
}

/// Each call has two sockets: the usual soft limit of 1,024 descriptors would end at 500 calls.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    // Without it, calls fail with "no socket", and the result says so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_user_at_a_server_and_nothing_less() {
        let (user, server) = read_target("sip:+33261910101@127.0.0.1:5070").expect("a target");
        assert_eq!((user.as_str(), server), ("+33261910101", "127.0.0.1:5070".parse().expect("an address")));
        assert_eq!(read_target("sip:600@127.0.0.1").expect("a target").1.port(), 5060);
        for wrong in ["600@127.0.0.1", "sip:127.0.0.1", "sip:@127.0.0.1", "sip:6@", ""] {
            assert!(read_target(wrong).is_err(), "{wrong}");
        }
    }
}
