//! Power cuts in calls whose every packet has a number: what was on no disk for certain is gone, and half a second at most
//! with it. `VIGIE_POWER_CUTS=100` for more, `VIGIE_SEED` for others.

use std::time::Duration;

use vigie::model::Chance;

use super::disk::{Disk, EIO, Lever};
use super::harness::{let_pass, until};
use super::numbering::{Conversation, assert_whole, recorded, sealed_of};
use super::phone::Phone;
use super::server::{Centre, Server, Setup};

/// So many cuts in each of the two tests, unless told otherwise.
const CUTS: u64 = 4;
/// Half a second of packets, and the one on its way.
const LOST_MAX: u32 = 26;
/// Of 256 pages that nobody has synced, so many are on the disk all the same: in no order.
const EARLY: u32 = 64;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

/// The disk of a centre that is not started yet.
fn forgetful(centre: &mut Centre) -> Disk {
    let disk = Disk::that_forgets(centre.roots(), &centre.place.folder);
    centre.environment.extend(disk.environment.clone());
    disk
}

/// The power goes in the midst of a call, and comes back; how many packets the recording is short.
async fn cut(server: &mut Server, disk: &Disk, anne: &Phone, talk: Conversation) -> u32 {
    let voices = [&talk.caller.voice, &anne.voice];
    let said = voices.map(|voice| voice.said());
    server.process.kill();
    std::fs::remove_dir_all(server.centre.place.ring_folder()).expect("the rings are in memory");
    disk.forget();
    anne.forget_call();
    anne.voice.falls_silent();
    server.start_again().await;
    let story = sealed_of(server, &talk.number).await;
    let sides = recorded(server, &story).await;
    server.assert_sound();
    let mut short = 0;
    for (numbers, said) in sides.iter().zip(said) {
        assert_whole(numbers, &talk.number);
        let last = *numbers.last().unwrap_or_else(|| panic!("nothing was left of {said} packets: {story:#}"));
        short = short.max((said - 1).saturating_sub(last));
    }
    short
}

async fn campaign(setup: Setup, seed: u64) {
    let mut chance = Chance::from_number(number("VIGIE_SEED").unwrap_or(0) * 2 + seed);
    let mut centre = setup.write();
    let disk = forgetful(&mut centre);
    disk.set(Lever::Early, EARLY);
    let mut server = centre.start().await;
    let anne = Phone::regulator(&server, "anne").await;
    let mut lost = Vec::new();
    for count in 0..number("VIGIE_POWER_CUTS").unwrap_or(CUTS) as u32 {
        let talk = Conversation::begin(&server, &anne, count).await;
        let_pass(Duration::from_micros(700_000 + chance.below(2_000_000))).await;
        lost.push(cut(&mut server, &disk, &anne, talk).await);
        assert!(lost.iter().all(|lost| *lost <= LOST_MAX), "packets lost by each cut: {lost:?}");
    }
    println!("seed {seed}: packets of 20 ms lost by each cut, of two legs the one that lost more: {lost:?}");
    assert!(disk.syncs() > 0, "nothing was ever synced: the test tests nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_costs_half_a_second_at_most() {
    campaign(Setup::new(), 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_costs_half_a_second_at_most_encrypted() {
    campaign(Setup::new().encrypted(), 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_failed_sync_has_lost_is_written_again_before_the_power_goes() {
    let mut centre = Setup::new().write();
    let disk = forgetful(&mut centre);
    disk.only_in(&centre.place.path("state/journal"));
    let mut server = centre.start().await;
    let anne = Phone::regulator(&server, "anne").await;
    let talk = Conversation::begin(&server, &anne, 1).await;
    let_pass(Duration::from_secs(1)).await;
    disk.set(Lever::Sync, EIO);
    until("syncs fail", || std::future::ready((disk.faults() >= 2).then_some(()))).await;
    disk.heals();
    let_pass(Duration::from_millis(1500)).await;
    assert!(server.metric("vigie_alarms_total").await >= 1.0);
    let short = cut(&mut server, &disk, &anne, talk).await;
    assert!(short <= LOST_MAX, "{short} packets");
}
