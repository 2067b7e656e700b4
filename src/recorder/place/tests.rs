//! Frames in their places: jitter, bursts, losses, pauses, clocks that run fast or slow, and wild senders.

use super::run::{DRIFT_MAX, SKEW_STEP_MAX};
use super::*;

fn heard(number: u32, arrival_ms: i64) -> Heard {
    Heard {
        position: 0,
        number,
        bytes: 160,
        length: 160,
        codec: Codec::Pcma,
        kind: FrameKind::Audio,
        sequence: (65_500u32 + number) as u16,
        timestamp: (u32::MAX - 1000).wrapping_add(number * 160),
        ssrc: 1,
        arrival: arrival_ms * 8,
    }
}

fn placed(mut frames: Vec<Heard>) -> Placement {
    let mut placement = place(&mut frames);
    let end = placement.end();
    placement.find_holes(&frames, Part { left: end, ..Part::default() });
    placement
}

fn starts(placement: &Placement) -> Vec<i64> {
    placement.placed.iter().map(|p| p.start).collect()
}

#[test]
fn jitter_makes_neither_gaps_nor_overlaps() {
    let jitter = [30, 0, 55, 12, 80, 3, 0, 41];
    let placement = placed((0..400).map(|n| heard(n, i64::from(n) * 20 + jitter[n as usize % 8])).collect());
    assert_eq!(starts(&placement), (0..400).map(|n| n * 160).collect::<Vec<_>>());
    assert_eq!((placement.holes.len(), placement.adjustments), (0, 0));
}

#[test]
fn opus_lies_on_the_same_clock_over_the_wrap_of_its_timestamps() {
    let opus = |n: u32| Heard {
        codec: Codec::Opus,
        timestamp: (u32::MAX - 2000).wrapping_add(n * 960),
        ..heard(n, i64::from(n) * 20)
    };
    let placement = placed((0..200).map(opus).collect());
    assert_eq!(starts(&placement), (0..200).map(|n| n * 160).collect::<Vec<_>>());
    assert_eq!((placement.holes.len(), placement.adjustments), (0, 0));
}

#[test]
fn a_stall_and_the_burst_after_it_move_nothing() {
    let arrival = |n: u32| if (100..160).contains(&n) { 160 * 20 } else { i64::from(n) * 20 };
    let placement = placed((0..300).map(|n| heard(n, arrival(n))).collect());
    assert_eq!(starts(&placement), (0..300).map(|n| n * 160).collect::<Vec<_>>());
    assert!(placement.holes.is_empty());
}

#[test]
fn lost_packets_leave_their_time_silent_and_are_listed_when_over_100_ms() {
    let kept = |n: &u32| !(50..53).contains(n) && !(100..110).contains(n);
    let mut frames: Vec<Heard> = (0..200).filter(kept).map(|n| heard(n, i64::from(n) * 20)).collect();
    frames.iter_mut().enumerate().for_each(|(place, frame)| frame.number = place as u32);
    let placement = placed(frames);
    assert_eq!(placement.holes, [Hole { start: 16_000, length: 1600, reason: GapReason::NetworkLoss }]);
    assert_eq!((placement.lost, placement.refused, placement.end()), (13, 0, 32_000));
}

#[test]
fn frames_that_a_full_ring_refused_are_a_gap_of_its_own_kind() {
    let frames = (0..100).filter(|n| *n != 50).map(|n| heard(n, i64::from(n) * 20)).collect();
    let placement = placed(frames);
    assert_eq!(placement.holes, [Hole { start: 8000, length: 160, reason: GapReason::NotRecorded }]);
    assert_eq!(placement.refused, 1);
}

#[test]
fn reordered_and_doubled_packets_end_up_once_and_in_place() {
    let mut order: Vec<u32> = (0..100).collect();
    order.swap(10, 12);
    order.insert(40, 39);
    let frames =
        order.iter().enumerate().map(|(place, n)| Heard { number: place as u32, ..heard(*n, place as i64 * 20) });
    let placement = placed(frames.collect());
    assert_eq!(starts(&placement), (0..100).map(|n| n * 160).collect::<Vec<_>>());
    assert_eq!((placement.duplicates, placement.reordered, placement.lost), (1, 2, 0));
}

#[test]
fn a_pause_in_the_timestamps_is_anchored_anew_on_the_clock() {
    // A phone on hold for 3 s whose timestamps stood still meanwhile.
    let arrival = |n: u32| i64::from(n) * 20 + if n >= 100 { 3000 } else { 0 };
    let placement = placed((0..200).map(|n| heard(n, arrival(n))).collect());
    assert_eq!(placement.holes, [Hole { start: 16_000, length: 24_000, reason: GapReason::NothingReceived }]);
    assert_eq!((placement.end(), placement.adjustments), (56_000, 1));
}

#[test]
fn over_an_hour_a_clock_that_is_100_ppm_off_is_followed_within_8_ms_and_without_a_gap() {
    for skew_ppm in [100i64, -100] {
        let mut chance = crate::model::Chance::from_number(6);
        let mut frames: Vec<Heard> = (0..180_000u32)
            .map(|n| {
                let sent = i64::from(n) * 160;
                let jitter = if n < 50 { 0 } else { chance.below(240) as i64 };
                Heard { arrival: sent - sent * skew_ppm / 1_000_000 + jitter, ..heard(n, 0) }
            })
            .collect();
        let placement = place(&mut frames);
        let off = placement.placed.iter().map(|p| {
            let sent = i64::from(p.heard.number) * 160;
            (p.start - (sent - sent * skew_ppm / 1_000_000)).abs()
        });
        assert!(off.max() <= Some(64), "{skew_ppm}");
        assert_eq!((placement.adjustments, placement.lost), (0, 0));
        let steps = placement.placed.windows(2).map(|pair| (pair[1].start - pair[0].end()).abs()).max();
        assert!(steps <= Some(SKEW_STEP_MAX), "{steps:?}");
    }
}

#[test]
fn a_new_ssrc_continues_where_the_old_one_ended() {
    let change = |n: u32| {
        let frame = heard(n, i64::from(n) * 20 + if n >= 50 { 13 } else { 0 });
        if n < 50 { frame } else { Heard { ssrc: 2, timestamp: n * 160 + 77, sequence: n as u16, ..frame } }
    };
    let placement = placed((0..100).map(change).collect());
    assert_eq!(starts(&placement), (0..100).map(|n| n * 160).collect::<Vec<_>>());
    assert!(placement.holes.is_empty());
}

#[test]
fn key_presses_are_silence_and_no_gap() {
    let kind = |n: u32| if (20..30).contains(&n) { FrameKind::Event } else { FrameKind::Audio };
    let frame = |n: u32| Heard { kind: kind(n), ..heard(n, i64::from(n) * 20) };
    let placement = placed((0..60).map(frame).collect());
    assert_eq!((placement.placed.len(), placement.lost, placement.holes.len()), (50, 0, 0));
}

#[test]
fn wild_timestamps_and_sequence_numbers_keep_every_frame_near_its_arrival() {
    let mut chance = crate::model::Chance::from_number(5);
    let frames: Vec<Heard> = (0..500)
        .map(|n| Heard {
            timestamp: chance.next_u32(),
            sequence: chance.next_u32() as u16,
            ssrc: chance.below(3) as u32,
            ..heard(n, i64::from(n) * 20)
        })
        .collect();
    let placement = placed(frames);
    for p in &placement.placed {
        assert!((p.start - p.heard.arrival).abs() <= 2 * DRIFT_MAX, "{} {}", p.start, p.heard.arrival);
    }
}

#[test]
fn a_pause_that_comfort_noise_announces_is_no_loss_and_no_gap_but_a_loss_within_it_is() {
    // Sound, 3 s of pause with noise in place of the first packet and each half a second, sound.
    let all = |n: u32| match n {
        0..50 => heard(n, i64::from(n) * 20),
        50..56 => Heard {
            kind: FrameKind::Noise,
            timestamp: (u32::MAX - 1000).wrapping_add((50 + (n - 50) * 25) * 160),
            ..heard(n, 1000 + i64::from(n - 50) * 500)
        },
        _ => Heard { timestamp: (u32::MAX - 1000).wrapping_add((n + 144) * 160), ..heard(n, i64::from(n + 144) * 20) },
    };
    let placement = placed((0..100).map(all).collect());
    assert_eq!((placement.holes.as_slice(), placement.lost, placement.placed.len()), ([].as_slice(), 0, 94));
    // The last packet of noise and the first three of sound never came; no refusal, so the numbers are whole.
    let mut rest: Vec<Heard> = (0..100).filter(|n| !(55..59).contains(n)).map(all).collect();
    rest.iter_mut().enumerate().for_each(|(n, h)| h.number = n as u32);
    let placement = placed(rest);
    let reasons: Vec<_> = placement.holes.iter().map(|h| h.reason).collect();
    assert_eq!((reasons, placement.lost), (vec![GapReason::NetworkLoss], 4));
}

#[test]
fn a_leg_that_begins_late_or_ends_early_is_told() {
    let mut frames: Vec<Heard> = (0..50).map(|n| heard(n, 2000 + i64::from(n) * 20)).collect();
    let mut placement = place(&mut frames);
    placement.find_holes(&frames, Part { left: 48_000, ..Part::default() });
    let reasons: Vec<_> = placement.holes.iter().map(|h| (h.start, h.length)).collect();
    assert_eq!(reasons, [(0, 16_000), (24_000, 24_000)]);
}

#[test]
fn a_leg_from_which_nothing_came_is_one_gap_over_its_part_and_only_that() {
    for (refused, reason) in [(0, GapReason::NothingReceived), (3, GapReason::NotRecorded)] {
        let mut placement = Placement::default();
        placement.find_holes(&[], Part { joined: 800, left: 2400, refused });
        assert_eq!(placement.holes, [Hole { start: 800, length: 1600, reason }]);
    }
}

#[test]
fn frames_refused_after_the_last_that_was_kept_are_not_told_as_silence() {
    let mut frames: Vec<Heard> = (0..50).map(|n| heard(n, i64::from(n) * 20)).collect();
    let mut placement = place(&mut frames);
    placement.find_holes(&frames, Part { joined: 0, left: 32_000, refused: 150 });
    assert_eq!(placement.holes, [Hole { start: 8000, length: 24_000, reason: GapReason::NotRecorded }]);
    assert_eq!(placement.refused, 150);
}
