//! kill -9 of the real server at random instants, in calls whose every packet has a number: the last one in the finished
//! recording is the last one sent, or one packet short. `VIGIE_KILLS=1000` for a campaign, `VIGIE_SEED` for another one.

use std::time::Duration;

use vigie::model::Chance;

use super::harness::let_pass;
use super::numbering::{Conversation, assert_whole, recorded, sealed_of};
use super::phone::Phone;
use super::server::{Server, Setup};

/// So many kills in each of the two tests, unless told otherwise: half with and half without encryption.
const KILLS: u32 = 8;
/// Kills between two checks of everything that was recorded.
const KILLS_A_VERIFY: u32 = 25;
/// One packet of 160 bytes takes so much of a socket's buffer at most; more waits there when the machine does not let the
/// server run, and what was never taken from its socket is nobody's recording.
const PACKET_BUFFER_BYTES: u64 = 1400;

#[derive(Debug, Default)]
struct Tally {
    kills: u32,
    calls: u32,
    hung_up_before: u32,
    /// Sides whose last packet is the last sent.
    whole: u32,
    /// Sides that are one packet short.
    one_short: u32,
    /// Sides of which more waited in the socket when the kill came.
    starved: u32,
}

/// Bytes that wait in the server's socket of a port (/proc/net/udp).
fn waiting_bytes(port: u16) -> u64 {
    let table = std::fs::read_to_string("/proc/net/udp").expect("the system's sockets");
    let hex = format!(":{port:04X}");
    let row = table.lines().find(|line| line.split_whitespace().nth(1).is_some_and(|local| local.ends_with(&hex)));
    let queue = row.and_then(|row| row.split_whitespace().nth(4)?.split(':').nth(1));
    queue.and_then(|bytes| u64::from_str_radix(bytes, 16).ok()).unwrap_or_default()
}

/// What one voice had said at the kill: for certain, and at most.
struct Said {
    before: u32,
    after: u32,
    waiting: u64,
}

/// One kill with two calls: what each side had said when it came.
async fn kill_one(
    server: &mut Server,
    phones: &[Phone; 2],
    chance: &mut Chance,
    count: u32,
) -> Vec<(String, [Said; 2])> {
    let talks = [
        Conversation::begin(server, &phones[0], count * 2).await,
        Conversation::begin(server, &phones[1], count * 2 + 1).await,
    ];
    let_pass(Duration::from_micros(40_000 + chance.below(900_000))).await;
    let mut said = Vec::new();
    let hangs_up = chance.below(4) == 0;
    if hangs_up {
        talks[1].caller.hang_up().await;
        let_pass(Duration::from_micros(chance.below(60_000))).await;
    }
    let voices = |at: usize| [&talks[at].caller.voice, &phones[at].voice];
    let now = [0, 1].map(|at| voices(at).map(|voice| (voice.said(), voice.port_spoken_to().map_or(0, waiting_bytes))));
    server.process.kill();
    for (at, [caller, regulator]) in now.into_iter().enumerate() {
        let after = voices(at).map(|voice| voice.said());
        let side = |(before, waiting): (u32, u64), after: u32| Said { before, after, waiting };
        if at == 0 || !hangs_up {
            said.push((talks[at].number.clone(), [side(caller, after[0]), side(regulator, after[1])]));
        }
    }
    for phone in phones {
        phone.forget_call();
        phone.voice.falls_silent();
    }
    said
}

/// The recording of each call ends with what was said last.
async fn check(server: &Server, said: &[(String, [Said; 2])], tally: &mut Tally) {
    for (number, sides) in said {
        let story = sealed_of(server, number).await;
        assert_eq!(story["call"]["outcome"].as_str(), Some("interrupted"), "{story:#}");
        let found = recorded(server, &story).await;
        tally.calls += 1;
        for (who, (numbers, said)) in ["the caller", "the regulator"].into_iter().zip(found.iter().zip(sides)) {
            assert_whole(numbers, who);
            let last = *numbers.last().unwrap_or_else(|| panic!("nothing of {who} in {story:#}"));
            assert!(last <= said.after, "{who}: {last} was never sent");
            // `said` counts from 1, numbers from 0; the last may not have left the phone yet.
            let short = (said.before - 1).saturating_sub(last);
            if said.waiting > PACKET_BUFFER_BYTES {
                tally.starved += 1;
            } else {
                assert!(short <= 1, "kill {}, {who}: {short} packets short of {}", tally.kills, said.before - 1);
                tally.whole += u32::from(short == 0);
                tally.one_short += u32::from(short == 1);
            }
        }
    }
}

async fn campaign(setup: Setup, seed: u64) {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let kills = number("VIGIE_KILLS").map_or(KILLS, |kills| (kills / 2) as u32);
    let mut chance = Chance::from_number(number("VIGIE_SEED").unwrap_or(0) * 2 + seed);
    let mut server = setup.start().await;
    let phones = [Phone::regulator(&server, "anne").await, Phone::regulator(&server, "bruno").await];
    let mut tally = Tally::default();
    while tally.kills < kills {
        let said = kill_one(&mut server, &phones, &mut chance, tally.kills).await;
        tally.kills += 1;
        tally.hung_up_before += u32::from(said.len() < 2);
        server.start_again().await;
        check(&server, &said, &mut tally).await;
        if tally.kills.is_multiple_of(KILLS_A_VERIFY) || tally.kills == kills {
            server.assert_sound();
        }
    }
    println!("seed {seed}: {tally:?}");
    assert!(tally.starved * 10 <= tally.calls * 2 + 20, "too often the server was not let run: {tally:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_server_killed_at_any_instant_has_recorded_all_but_the_last_packet() {
    campaign(Setup::new(), 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_server_killed_at_any_instant_has_recorded_all_but_the_last_packet_encrypted() {
    campaign(Setup::new().encrypted(), 2).await;
}
