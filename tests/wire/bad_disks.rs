//! Disks that give errors, are full, turn read-only or hang, under the real server in mid-call: the call goes on, somebody is
//! told within ten seconds, writing resumes by itself, and every packet that was said is in the recording or in a gap of it.

use std::time::Duration;

use serde_json::Value;

use super::api::event_types;
use super::disk::{Disk, EIO, ENOSPC, EROFS, Lever, SYNCS, WRITES};
use super::harness::{let_pass, until, within};
use super::numbering::{Conversation, assert_whole, recorded, sealed_of, story_of};
use super::phone::Phone;
use super::server::{Server, Setup};
use super::voice::FRAME;

/// A recording that is not written is told within so long.
const TOLD_WITHIN: Duration = Duration::from_secs(10);

struct Scene {
    server: Server,
    disk: Disk,
    anne: Phone,
    bruno: Phone,
}

impl Scene {
    async fn open(setup: Setup) -> Scene {
        let mut centre = setup.write();
        let disk = Disk::before(centre.roots(), &centre.place.folder);
        centre.environment.extend(disk.environment.clone());
        let server = centre.start().await;
        let (anne, bruno) = (Phone::regulator(&server, "anne").await, Phone::regulator(&server, "bruno").await);
        Scene { server, disk, anne, bruno }
    }

    /// Waits for an alarm of this kind.
    async fn alarms(&self, kind: &str) {
        let label = format!("kind=\"{kind}\"");
        within(TOLD_WITHIN, &format!("the alarm {kind}"), || async {
            let text = self.server.api.text("/metrics").await;
            text.lines().any(|line| line.starts_with("vigie_alarms_total") && line.contains(&label)).then_some(())
        })
        .await;
    }

    /// Both hear each other now.
    async fn hears_both(&self, talk: &Conversation) {
        for voice in [&talk.caller.voice, &self.anne.voice] {
            let before = voice.highest_heard();
            until("the far end is heard", || std::future::ready((voice.highest_heard() > before).then_some(()))).await;
        }
    }

    /// The recording of a call that went through a fault and has lost nothing by it.
    async fn is_whole(&self, talk: &Conversation, said: u32) -> Value {
        let story = sealed_of(&self.server, &talk.number).await;
        let [left, right] = recorded(&self.server, &story).await;
        assert_whole(&left, "the caller");
        assert_whole(&right, "the regulator");
        let (first, last) = (left.first().expect("numbers"), left.last().expect("numbers"));
        assert!(*first <= talk.said_before + 5 && *last + 3 >= said, "{first} to {last} of {said}");
        assert_eq!(story["recording"]["gaps"].as_u64().unwrap_or(0), 0, "{:#}", story["recording"]);
        story
    }
}

/// A fault of some seconds over everything that the server writes, its database too.
async fn rides_through(scene: &Scene, fault: impl Fn(&Disk), alarm: &str) {
    let Scene { server, disk, anne, bruno } = scene;
    let talk = Conversation::begin(server, anne, 1).await;
    let_pass(Duration::from_secs(1)).await;
    fault(disk);
    scene.alarms(alarm).await;
    let_pass(Duration::from_secs(7)).await;
    scene.hears_both(&talk).await;
    // Another call comes in the midst of it, is answered and is recorded.
    let second = Conversation::begin(server, bruno, 2).await;
    assert!(disk.faults() > 0, "no fault struck");
    disk.heals();
    let_pass(Duration::from_secs(2)).await;
    let said = [&talk, &second].map(|talk| talk.caller.voice.said());
    talk.caller.hang_up().await;
    second.caller.hang_up().await;
    let story = scene.is_whole(&talk, said[0]).await;
    scene.is_whole(&second, said[1]).await;
    let types = event_types(&story);
    assert!(types.iter().any(|kind| kind == "recording.failed"), "{types:?}");
    assert_eq!(types.last().map(String::as_str), Some("recording.sealed"));
    told_in_time(&story);
    scene.alarms("recording-back").await;
    server.assert_sound();
}

/// `recording.failed` was decided within ten seconds of the answer, the fault having begun a second after it.
fn told_in_time(story: &Value) {
    let at = |kind: &str| {
        let events = story["events"].as_array().expect("events");
        let event = events.iter().find(|event| event["type"].as_str() == Some(kind)).expect("the event");
        event["at"].as_str().and_then(|at| at.parse::<jiff::Timestamp>().ok()).expect("a time")
    };
    let after = at("recording.failed").duration_since(at("call.answered"));
    assert!(after <= (TOLD_WITHIN + Duration::from_secs(1)).try_into().expect("short"), "told after {after:?}");
}

#[tokio::test]
async fn a_disk_that_gives_errors_to_every_write_costs_no_packet() {
    let scene = Scene::open(Setup::new()).await;
    rides_through(&scene, |disk| disk.set(Lever::Write, EIO), "recording-disk").await;
}

#[tokio::test]
async fn a_full_disk_that_takes_half_of_some_writes_costs_no_packet_encrypted() {
    let scene = Scene::open(Setup::new().encrypted()).await;
    // While it is not quite full yet: a write that fails is not halved.
    scene.disk.set(Lever::Short, 2);
    let fault = |disk: &Disk| {
        assert!(disk.shorts() > 20, "{} writes were halved", disk.shorts());
        disk.set(Lever::Write, ENOSPC);
        disk.set(Lever::Name, ENOSPC);
    };
    rides_through(&scene, fault, "recording-disk").await;
}

#[tokio::test]
async fn a_disk_that_was_made_read_only_costs_no_packet() {
    let scene = Scene::open(Setup::new()).await;
    let fault = |disk: &Disk| {
        disk.set(Lever::Write, EROFS);
        disk.set(Lever::Name, EROFS);
        disk.set(Lever::Sync, EIO);
    };
    rides_through(&scene, fault, "recording-disk").await;
}

#[tokio::test]
async fn a_write_that_hangs_is_told_by_the_watch_and_costs_no_packet() {
    let scene = Scene::open(Setup::new()).await;
    rides_through(&scene, |disk| disk.set(Lever::Stall, WRITES), "recording-stalled").await;
}

#[tokio::test]
async fn a_disk_that_hangs_in_its_syncs_keeps_nobody_waiting() {
    let scene = Scene::open(Setup::new().encrypted()).await;
    let Scene { server, disk, anne, .. } = &scene;
    let talk = Conversation::begin(server, anne, 1).await;
    disk.set(Lever::Stall, SYNCS);
    scene.alarms("recording-slow").await;
    let_pass(Duration::from_secs(7)).await;
    scene.hears_both(&talk).await;
    disk.heals();
    let_pass(Duration::from_secs(1)).await;
    let said = talk.caller.voice.said();
    talk.caller.hang_up().await;
    // Frames were written all the while: nothing has failed.
    let types = event_types(&scene.is_whole(&talk, said).await);
    assert!(!types.iter().any(|kind| kind == "recording.failed"), "{types:?}");
    server.assert_sound();
}

#[tokio::test]
async fn a_disk_that_is_full_for_longer_than_the_ring_leaves_a_gap_that_is_exact() {
    let setup = Setup::new().change("ring_size = \"4MiB\"", "ring_size = \"1MiB\"");
    let scene = Scene::open(setup).await;
    let Scene { server, disk, anne, bruno } = &scene;
    let talks = [Conversation::begin(server, anne, 1).await, Conversation::begin(server, bruno, 2).await];
    let_pass(Duration::from_secs(1)).await;
    disk.set(Lever::Write, ENOSPC);
    disk.set(Lever::Name, ENOSPC);
    until("the ring is full", || async {
        let text = server.api.text("/metrics").await;
        text.contains("kind=\"recording-lost\"").then_some(())
    })
    .await;
    let_pass(Duration::from_secs(2)).await;
    scene.hears_both(&talks[0]).await;
    disk.heals();
    let_pass(Duration::from_secs(2)).await;
    for talk in &talks {
        talk.caller.hang_up().await;
    }
    for talk in &talks {
        let story = sealed_of(server, &talk.number).await;
        let sides = recorded(server, &story).await;
        let id = story["call"]["id"].as_str().expect("an id");
        let manifest = server.api.json(&format!("/recordings/{id}/manifest?reason=wire+test")).await;
        let gaps = manifest["vigie"]["gaps"].as_array().expect("gaps").clone();
        for (leg, numbers) in sides.iter().enumerate() {
            let holes: Vec<u32> =
                numbers.windows(2).map(|pair| pair[1] - pair[0] - 1).filter(|hole| *hole > 0).collect();
            let listed: Vec<&Value> = gaps.iter().filter(|gap| gap["leg"].as_u64() == Some(leg as u64)).collect();
            assert_eq!((holes.len(), listed.len()), (1, 1), "{numbers:?} {gaps:#?}");
            assert!(holes[0] > 50, "a gap of {} packets", holes[0]);
            assert_eq!(listed[0]["reason"].as_str(), Some("not-recorded"), "{gaps:#?}");
            assert_eq!(listed[0]["length_ms"].as_u64(), Some(u64::from(holes[0]) * FRAME as u64 / 8), "{gaps:#?}");
        }
    }
    server.assert_sound();
}

#[tokio::test]
async fn a_recordings_folder_alone_that_fails_is_told_to_dispatch_while_it_fails() {
    let scene = Scene::open(Setup::new()).await;
    let Scene { server, disk, anne, .. } = &scene;
    disk.only_in(&server.centre.place.path("recordings"));
    let talk = Conversation::begin(server, anne, 1).await;
    let_pass(Duration::from_secs(1)).await;
    disk.set(Lever::Write, EIO);
    within(TOLD_WITHIN + Duration::from_secs(1), "recording.failed", || async {
        let story = story_of(server, &talk.number).await?;
        event_types(&story).iter().any(|kind| kind == "recording.failed").then_some(())
    })
    .await;
    disk.heals();
    let_pass(Duration::from_secs(2)).await;
    let said = talk.caller.voice.said();
    talk.caller.hang_up().await;
    scene.is_whole(&talk, said).await;
    server.assert_sound();
}
