//! Keys, told by RFC 4733 or by signalling, reach the decisions and whoever hears the leg once each, whatever is lost.

use super::*;
use crate::model::Moment;
use crate::rtp::codec::{Decoder, samples_in};
use crate::rtp::dtmf::{Digits, TelephoneEvent};
use crate::rtp::packet::Packet;
use crate::rtp::tones;

use super::mixing::mix;

/// The number of telephone-event at the far ends that press keys, and at those that hear them.
const PRESSES: u8 = 101;
const HEARS: u8 = 96;

/// One packet of a key: its timestamp and payload.
type Sent = (u32, [u8; 4]);

/// A press as a phone sends it: a packet every 20 ms, and its end three times.
fn press(key: char, begins: u32, (packets, clock_hz): (u16, u32)) -> Vec<Sent> {
    let step = (clock_hz / 50) as u16;
    let event = |place: u16| TelephoneEvent {
        event: TelephoneEvent::code(key).expect("a key"),
        end: place >= packets,
        volume: 10,
        duration: step * place.min(packets),
    };
    (1..packets + 3).map(|place| (begins, event(place).write())).collect()
}

/// A far end that hears events under its own number.
fn hearing(peer: &Peer, clock_hz: u32) -> RemoteMedia {
    RemoteMedia { dtmf_payload: Some(HEARS), dtmf_clock_hz: clock_hz, ..peer.remote() }
}

/// A far end that presses keys.
fn pressing(peer: &Peer, clock_hz: u32) -> RemoteMedia {
    RemoteMedia { dtmf_payload: Some(PRESSES), dtmf_clock_hz: clock_hz, ..peer.remote() }
}

/// The next packet that is a key's.
fn next_key(peer: &Peer) -> Got {
    loop {
        let got = peer.receive();
        if got.header.payload_type == HEARS {
            return got;
        }
    }
}

/// The keys that a far end hears, with their lengths, up to `#`.
fn heard(peer: &Peer, clock_hz: u32) -> Vec<(char, u32)> {
    let (mut digits, mut keys) = (Digits::default(), Vec::new());
    while keys.last().is_none_or(|(key, _)| *key != '#') {
        let got = next_key(peer);
        let news = digits.take(&Packet { header: got.header, payload: &got.payload }, clock_hz, Moment(0));
        let over = [news.before, news.press].into_iter().flatten().filter(|press| press.is_over);
        keys.extend(over.map(|press| (press.key, press.lasted_ms)));
    }
    keys
}

impl Bench {
    /// The keys of a leg that the decisions are told of, up to `#`.
    fn told(&self, number: u16) -> String {
        let told = std::cell::RefCell::new(String::new());
        self.wait_for(|report| match report {
            MediaReport::Dtmf { leg: id, digit, .. } => {
                assert_eq!(id, leg(number));
                told.borrow_mut().push(digit);
                (digit == '#').then_some(())
            }
            _ => None,
        });
        told.into_inner()
    }
}

/// Sends what is left of some presses, and a last one of `#`, through a bridge of these codecs; what is heard, and what told.
fn through((from, to): ((Codec, u32), (Codec, u32)), sent: &[Sent]) -> (String, String) {
    let bench = bench(|_| ());
    let (mut a, b) = (Peer::new(HERE, from.0), Peer::new(HERE, to.0));
    let (to_a, _) = bench.bridge(&a, &b);
    bench.aim(0, pressing(&a, from.1));
    bench.aim(1, hearing(&b, to.1));
    bench.settle();
    for (timestamp, payload) in sent.iter().copied().chain(press('#', 4_000_000, (5, from.1))) {
        a.send_typed(to_a, (PRESSES, timestamp), &payload);
    }
    let heard = heard(&b, to.1);
    assert!(heard.iter().all(|(_, lasted_ms)| (60..=100).contains(lasted_ms)), "{heard:?}");
    (heard.into_iter().map(|(key, _)| key).collect(), bench.told(0))
}

const NARROW: (Codec, u32) = (Codec::Pcma, 8000);
const BRIDGES: [((Codec, u32), (Codec, u32)); 5] = [
    (NARROW, NARROW),
    (NARROW, (Codec::Opus, 48_000)),
    ((Codec::Opus, 48_000), NARROW),
    ((Codec::G722, 8000), (Codec::Pcmu, 8000)),
    ((Codec::Opus, 8000), (Codec::Opus, 48_000)),
];

#[test]
fn whatever_is_lost_of_a_key_it_is_heard_and_told_once() {
    for codecs in BRIDGES {
        let whole = press('5', 1000, (5, codecs.0.1));
        let kept: [Vec<Sent>; 6] = [
            whole.clone(),
            whole[1..].to_vec(),
            whole[..4].to_vec(),
            whole[..1].to_vec(),
            whole[2..3].to_vec(),
            whole[6..].to_vec(),
        ];
        for sent in kept {
            let expected = ("5#".to_owned(), "5#".to_owned());
            assert_eq!(through(codecs, &sent), expected, "{codecs:?} {sent:?}");
        }
    }
}

#[test]
fn keys_reordered_repeated_and_pressed_again_at_once_are_each_heard_and_told_once() {
    for codecs in BRIDGES {
        let (first, again) = (press('5', 100_000, (5, codecs.0.1)), press('5', 148_000, (5, codecs.0.1)));
        let mut mixed_up = [first.clone(), again.clone(), press('1', 196_000, (5, codecs.0.1))].concat();
        // Each pair the wrong way round, all twice, and the first key's last end once more at the end.
        mixed_up.chunks_exact_mut(2).for_each(|pair| pair.swap(0, 1));
        let mut sent: Vec<Sent> = mixed_up.iter().flat_map(|packet| [*packet, *packet]).collect();
        sent.extend(first.last());
        assert_eq!(through(codecs, &sent), ("551#".to_owned(), "551#".to_owned()), "{codecs:?}");
    }
}

#[test]
fn a_key_keeps_its_length_in_the_units_of_the_side_that_hears_it() {
    for codecs in BRIDGES {
        let bench = bench(|_| ());
        let (mut a, b) = (Peer::new(HERE, codecs.0.0), Peer::new(HERE, codecs.1.0));
        let (to_a, _) = bench.bridge(&a, &b);
        bench.aim(0, pressing(&a, codecs.0.1));
        bench.aim(1, hearing(&b, codecs.1.1));
        bench.settle();
        for (timestamp, payload) in press('#', 1000, (10, codecs.0.1)) {
            a.send_typed(to_a, (PRESSES, timestamp), &payload);
        }
        assert_eq!(heard(&b, codecs.1.1), [('#', 200)], "{codecs:?}");
    }
}

#[test]
fn a_key_told_by_info_is_reported_and_sent_on_as_an_event_that_ends_three_times() {
    let bench = bench(|_| ());
    let (a, b) = (Peer::new(HERE, Codec::Pcma), Peer::new(HERE, Codec::Pcma));
    bench.bridge(&a, &b);
    bench.aim(1, hearing(&b, 8000));
    bench.media.send(MediaCommand::Key { leg: leg(0), digit: '#' });
    assert_eq!(bench.told(0), "#");
    let packets: Vec<Got> = (0..7).map(|_| next_key(&b)).collect();
    let events: Vec<_> = packets.iter().filter_map(|got| TelephoneEvent::read(&got.payload)).collect();
    assert!(events.len() == 7 && events.iter().all(|event| event.key() == Some('#')));
    assert_eq!(events.iter().filter(|event| event.end).count(), 3);
    assert!(packets.iter().all(|got| got.header.timestamp == packets[0].header.timestamp));
    let marked: Vec<bool> = packets.iter().map(|got| got.header.marker).collect();
    assert_eq!(marked, [true, false, false, false, false, false, false]);
    let steps = packets.windows(2).map(|two| two[1].header.sequence.wrapping_sub(two[0].header.sequence));
    assert!(steps.clone().all(|step| step == 1), "{:?}", steps.collect::<Vec<_>>());
}

#[test]
fn after_a_key_the_voice_goes_on_in_the_same_numbers() {
    let bench = bench(|_| ());
    let (mut a, b) = (Peer::new(HERE, Codec::Pcma), Peer::new(HERE, Codec::Pcma));
    let (to_a, _) = bench.bridge(&a, &b);
    bench.aim(1, hearing(&b, 8000));
    a.send(to_a, &[1; 160]);
    let before = b.receive().header;
    bench.media.send(MediaCommand::Key { leg: leg(0), digit: '#' });
    let keys: Vec<Got> = (0..7).map(|_| next_key(&b)).collect();
    let last = keys[6].header;
    assert_eq!((last.ssrc, last.sequence), (before.ssrc, before.sequence.wrapping_add(7)));
    // What is said during the key is left out.
    let deadline = Instant::now() + PATIENCE;
    b.rtp.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
    let mut buffer = [0; 2000];
    let length = loop {
        assert!(Instant::now() < deadline, "the voice never came back");
        a.send(to_a, &[2; 160]);
        if let Ok(length) = b.rtp.recv(&mut buffer) {
            break length;
        }
    };
    let after = packet::read(&buffer[..length]).expect("RTP");
    assert_eq!((after.header.payload_type, after.payload), (8, &[2; 160][..]));
    assert_eq!(after.header.sequence, last.sequence.wrapping_add(1));
    assert!((after.header.timestamp.wrapping_sub(last.timestamp) as i32) >= 7 * 160);
}

#[test]
fn a_key_told_by_info_and_by_rtp_is_one_key_on_either_side() {
    for is_info_first in [false, true] {
        let bench = bench(|_| ());
        let (mut a, b) = (Peer::new(HERE, Codec::Pcma), Peer::new(HERE, Codec::Pcma));
        let (to_a, _) = bench.bridge(&a, &b);
        bench.aim(0, pressing(&a, 8000));
        bench.aim(1, hearing(&b, 8000));
        bench.settle();
        let info = || {
            bench.media.send(MediaCommand::Key { leg: leg(0), digit: '5' });
            bench.settle();
        };
        if is_info_first {
            info();
        }
        for (timestamp, payload) in press('5', 1000, (5, 8000)) {
            a.send_typed(to_a, (PRESSES, timestamp), &payload);
        }
        bench.wait_until(|counters| counters.packets_received == 7);
        if !is_info_first {
            info();
        }
        for (timestamp, payload) in press('#', 90_000, (5, 8000)) {
            a.send_typed(to_a, (PRESSES, timestamp), &payload);
        }
        let keys: String = heard(&b, 8000).into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, "5#", "INFO first: {is_info_first}");
    }
}

#[test]
fn a_key_during_a_sound_is_heard_between_its_packets_and_the_sound_loses_nothing() {
    let bench = bench(|_| ());
    let (mut a, b) = (Peer::new(HERE, Codec::Pcma), Peer::new(HERE, Codec::Pcma));
    let (to_a, _) = bench.bridge(&a, &b);
    bench.aim(0, pressing(&a, 8000));
    bench.aim(1, hearing(&b, 8000));
    bench.media.send(MediaCommand::Play { leg: leg(1), sounds: vec!["tone".into()], after: AfterSounds::Report });
    let mut got = vec![b.receive()];
    for (timestamp, payload) in press('#', 1000, (5, 8000)) {
        a.send_typed(to_a, (PRESSES, timestamp), &payload);
    }
    assert_eq!(bench.told(0), "#");
    got.extend((0..21).map(|_| b.receive()));
    assert_eq!(got.iter().filter(|got| got.header.payload_type == HEARS).count(), 7);
    let sound = got.iter().filter(|got| got.header.payload_type == 8).flat_map(|got| got.payload.clone());
    let expected: Vec<u8> = (0..2400).map(|place| g711::encode(Law::A, sample(place))).collect();
    assert_eq!(sound.collect::<Vec<u8>>(), expected);
}

#[test]
fn a_key_for_a_side_that_is_on_hold_is_told_and_not_kept_for_later() {
    let bench = bench(|_| ());
    let (mut a, b) = (Peer::new(HERE, Codec::Pcma), Peer::new(HERE, Codec::Pcma));
    let (to_a, _) = bench.bridge(&a, &b);
    bench.aim(0, pressing(&a, 8000));
    bench.aim(1, RemoteMedia { direction: Direction::Inactive, ..hearing(&b, 8000) });
    bench.settle();
    for (timestamp, payload) in [press('5', 1000, (5, 8000)), press('#', 9000, (5, 8000))].concat() {
        a.send_typed(to_a, (PRESSES, timestamp), &payload);
    }
    assert_eq!(bench.told(0), "5#");
    bench.aim(1, hearing(&b, 8000));
    bench.settle();
    for (timestamp, payload) in press('#', 90_000, (5, 8000)) {
        a.send_typed(to_a, (PRESSES, timestamp), &payload);
    }
    assert_eq!(heard(&b, 8000), [('#', 100)]);
}

#[test]
fn of_three_the_others_hear_each_key_once_by_whichever_way_it_was_told() {
    let bench = bench(|_| ());
    let mut peers = [Codec::Pcma, Codec::G722, Codec::Opus].map(|codec| Peer::new(HERE, codec));
    let ports = [0, 1, 2].map(|number| bench.open(number));
    bench.aim(0, pressing(&peers[0], 8000));
    bench.aim(1, hearing(&peers[1], 8000));
    bench.aim(2, hearing(&peers[2], 48_000));
    mix(&bench, &[(0, &[1, 2]), (1, &[0, 2]), (2, &[0, 1])]);
    bench.media.send(MediaCommand::Key { leg: leg(0), digit: '4' });
    bench.settle();
    for (timestamp, payload) in [press('5', 1000, (5, 8000)), press('#', 9000, (5, 8000))].concat() {
        peers[0].send_typed(ports[0], (PRESSES, timestamp), &payload);
    }
    for (peer, clock_hz) in [(&peers[1], 8000), (&peers[2], 48_000)] {
        assert_eq!(heard(peer, clock_hz), [('4', 100), ('5', 100), ('#', 100)]);
    }
}

#[test]
fn a_key_for_a_side_without_telephone_event_is_told_of_and_tones_are_heard_where_they_are_asked_for() {
    for (codec, is_relayed) in [(Codec::Pcma, true), (Codec::Opus, false)] {
        let bench = bench(|_| ());
        let (mut a, b) = (Peer::new(HERE, Codec::Pcma), Peer::new(HERE, codec));
        let (to_a, _) = bench.bridge(&a, &b);
        bench.aim(0, pressing(&a, 8000));
        bench.settle();
        for (timestamp, payload) in press('#', 1000, (5, 8000)) {
            a.send_typed(to_a, (PRESSES, timestamp), &payload);
        }
        let untold = bench.wait_for(|report| match report {
            MediaReport::KeyUntold { leg, digit, duration_ms } => Some((leg, digit, duration_ms)),
            _ => None,
        });
        assert_eq!(untold, (leg(1), '#', 100));
        bench.media.send(MediaCommand::Tone { leg: leg(1), digit: '#', duration_ms: 100 });
        let (mut decoder, mut levels) = (Decoder::new(codec), Vec::new());
        let packets = if is_relayed { 7 } else { 30 };
        for _ in 0..packets {
            let got = b.receive();
            assert_eq!(got.header.payload_type, codec.payload_type());
            let mut pcm = vec![0; samples_in(codec, &got.payload)];
            let decoded = decoder.decode(&got.payload, &mut pcm);
            levels.push(is_key(&pcm[..decoded], codec.sample_rate(), '#'));
        }
        let sounding = levels.iter().filter(|is_key| **is_key).count();
        let from = levels.iter().position(|is_key| *is_key).expect("a tone");
        assert!((4..=6).contains(&sounding) && levels[from..from + 4].iter().all(|is_key| *is_key), "{levels:?}");
    }
}

/// Whether both tones of a key are in 20 ms of sound.
fn is_key(pcm: &[i16], rate: u32, key: char) -> bool {
    let level = |hertz: f64| {
        let (s, c) = pcm.iter().enumerate().fold((0.0, 0.0), |(s, c), (n, sample)| {
            let at = std::f64::consts::TAU * hertz * n as f64 / f64::from(rate);
            (s + at.sin() * f64::from(*sample), c + at.cos() * f64::from(*sample))
        });
        f64::hypot(s, c) * 2.0 / pcm.len().max(1) as f64
    };
    tones::frequencies(key).is_some_and(|(low, high)| level(low) > 4000.0 && level(high) > 4000.0)
}
