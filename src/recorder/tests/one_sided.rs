//! A recording with one side only never looks like a whole one.

use super::*;
use crate::model::{LegQuality, LegRecord};

impl World {
    /// Frames of one leg alone.
    fn speak(&self, ring: &mut RingWriter, leg: u16, numbers: std::ops::Range<u32>) {
        assert!(numbers.into_iter().all(|number| self.push(ring, leg, number)));
        ring.flush().expect("written");
    }

    /// What is announced with [`World::begin`], but at the recording's begin and not when the test runs.
    fn keep(&self, finished_ms: Option<u64>) {
        let leg = |side| kept::KeptLeg { side, regulator: None, joined: self.begin.moment };
        let kept = kept::Kept {
            call: self.call,
            begun: self.begin,
            finished: finished_ms.map(|after| self.begin.after(Duration::from_millis(after))),
            legs: BTreeMap::from([(0, leg(Side::Caller)), (1, leg(Side::Regulator))]),
            turns: Vec::new(),
            record: self.record(),
            pauses: Vec::new(),
        };
        kept.write(&self.in_folder(""), &self.parts.state).expect("kept");
    }

    /// A recording with the caller's voice alone, sealed.
    pub(crate) fn seal_one_sided(&self) {
        self.keep(Some(2000));
        let mut ring = RingWriter::create(&self.parts.ring_folder.join("ring-0"), 1 << 20).expect("a ring");
        self.speak(&mut ring, 0, 0..100);
        drop(ring);
        assert_eq!(recover(&self.parts, &[]).expect("recovered")[0].gaps, 1);
    }

    /// The gaps as (leg, start, length, reason).
    pub(crate) fn gaps(&self) -> Vec<(u16, u64, u64, GapReason)> {
        self.sidecar().vigie.gaps.into_iter().map(|gap| (gap.leg, gap.start_ms, gap.length_ms, gap.reason)).collect()
    }
}

/// A regulator's leg as the call's record has it.
fn leg_record(world: &World, number: u16, ended_ms: u64, quality: LegQuality) -> LegRecord {
    LegRecord {
        number,
        side: Side::Regulator,
        regulator: Some("anne".into()),
        device: None,
        dialled: None,
        sip_call_id: "x".into(),
        started_at: world.begin.utc,
        accepted_at: Some(world.begin.utc),
        ended_at: Some(world.begin.after(Duration::from_millis(ended_ms)).utc),
        ended_by: None,
        detail: None,
        codec: Some(Codec::Pcma),
        quality,
    }
}

#[test]
fn a_leg_from_which_nothing_came_is_listed_with_its_gap_and_alarms() {
    let world = World::new();
    let mut running = world.start(1 << 20);
    world.begin(&running);
    world.speak(&mut running.ring, 0, 0..150);
    let at = world.begin.after(Duration::from_millis(3000));
    let mut record = world.record();
    record.legs.push(leg_record(&world, 1, 3000, LegQuality { strangers: 612, ..LegQuality::default() }));
    running.recorder.send(RecorderCommand::Finish { call: world.call, at, record });
    let sealed = running.sealed();
    let text = running.alarm("recording-one-sided");
    assert!(text.contains("the regulator anne (leg 1)") && text.contains("612 packets"), "{text}");
    assert!(!text.contains("0612345678"));
    running.recorder.stop();

    assert_eq!((sealed.gaps, sealed.levels_dbfs[1]), (1, -120.0));
    let sidecar = world.sidecar();
    let silent = &sidecar.vigie.frames[1];
    assert_eq!((silent.leg, silent.frames, silent.heard_until_ms, silent.side), (1, 0, None, Side::Regulator));
    assert_eq!(world.gaps(), [(1, 0, 3000, GapReason::NothingReceived)]);
    assert!(world.in_folder("leg-1.frames").exists());
}

#[test]
fn a_recovered_recording_tells_of_its_silent_leg_too() {
    let world = World::new();
    world.keep(None);
    let mut ring = RingWriter::create(&world.parts.ring_folder.join("ring-0"), 1 << 20).expect("a ring");
    world.speak(&mut ring, 0, 0..100);
    drop(ring);
    assert_eq!(recover(&world.parts, &[]).expect("recovered")[0].gaps, 1);
    assert_eq!(world.gaps(), [(1, 0, 2000, GapReason::NothingReceived)]);
    let once = world.tree();
    assert!(recover(&world.parts, &[]).expect("recovered").is_empty());
    assert_eq!(world.tree(), once);
}

#[test]
fn a_leg_that_falls_silent_is_listed_to_its_end_and_told_when_that_is_long() {
    for (silent_ms, is_told) in [(900, false), (2000, false), (10_000, true)] {
        let world = World::new();
        world.keep(Some(2000 + silent_ms));
        let mut ring = RingWriter::create(&world.parts.ring_folder.join("ring-0"), 1 << 20).expect("a ring");
        world.speak(&mut ring, 0, 0..100 + silent_ms as u32 / 20);
        world.speak(&mut ring, 1, 0..100);
        drop(ring);
        recover(&world.parts, &[]).expect("recovered");
        let expected = [(1, 2000, silent_ms, GapReason::NothingReceived)];
        assert_eq!(world.gaps(), if silent_ms > 1000 { &expected[..] } else { &[] });
        let silences = world.sidecar().silences();
        assert_eq!(silences.iter().any(|s| s.leg == 1 && s.length_ms == silent_ms && !s.is_whole), is_told);
    }
}

#[test]
fn a_leg_that_left_is_not_missed_after_its_end() {
    let world = World::new();
    let mut record = world.record();
    record.legs.push(leg_record(&world, 1, 2000, LegQuality::default()));
    let leg = kept::KeptLeg { side: Side::Regulator, regulator: None, joined: world.begin.moment };
    let finished = Some(world.begin.after(Duration::from_millis(60_000)));
    let legs = BTreeMap::from([(1, leg)]);
    let kept = kept::Kept {
        call: world.call,
        begun: world.begin,
        finished,
        legs,
        turns: Vec::new(),
        record,
        pauses: Vec::new(),
    };
    kept.write(&world.in_folder(""), &world.parts.state).expect("kept");
    let mut ring = RingWriter::create(&world.parts.ring_folder.join("ring-0"), 1 << 20).expect("a ring");
    world.speak(&mut ring, 1, 0..100);
    drop(ring);
    recover(&world.parts, &[]).expect("recovered");
    assert_eq!(world.gaps(), []);
    assert_eq!(world.sidecar().vigie.frames[0].part_end_ms, 2000);
}
