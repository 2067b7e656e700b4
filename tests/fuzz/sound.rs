//! RTP, RTCP, SRTP and every codec: mutated packets are read and played without a panic, what is forged or replayed is not
//! opened, and the counts of a leg add up whatever comes.

use vigie::model::{Chance, Codec, Moment};
use vigie::rtp::codec::{Encoder, packet_samples};
use vigie::rtp::dtmf::{Digits, QUIET_MAX, TelephoneEvent};
use vigie::rtp::jitter::{Content, Jitter, Next, TICK_MICROS};
use vigie::rtp::packet::{self, Header, Packet};
use vigie::rtp::playout::Playout;
use vigie::rtp::reception::{Block, Reception};
use vigie::rtp::rtcp;
use vigie::rtp::srtp::{BUFFER_BYTES, Incoming, MasterKey, Outgoing, Profile};

use crate::Failure;
use crate::mutation::{damage, note};

/// Packets of one case: enough for the wrap of a sequence number and for bursts.
const PACKETS: u64 = 120;
/// Our SSRC.
const OURS: u32 = 0x1111;

fn fail(what: String, input: &[u8]) -> Result<(), Failure> {
    Err(Failure { what, input: input.to_vec() })
}

/// A packet with all that a header may have (RFC 3550 §5.1).
fn draw_rtp(header: Header, chance: &mut Chance) -> Vec<u8> {
    let (sources, extension, padding) = (chance.below(3) as u8, chance.below(4) == 0, chance.below(4) == 0);
    let mut bytes = vec![0x80 | (u8::from(padding) << 5) | (u8::from(extension) << 4) | sources];
    bytes.push((u8::from(header.marker) << 7) | header.payload_type);
    bytes.extend(header.sequence.to_be_bytes());
    bytes.extend(header.timestamp.to_be_bytes());
    bytes.extend(header.ssrc.to_be_bytes());
    bytes.extend((0..4 * sources).map(|byte| byte ^ 0x55));
    if extension {
        let words = chance.below(3) as u16;
        bytes.extend([0xbe, 0xde]);
        bytes.extend(words.to_be_bytes());
        bytes.extend((0..4 * words).map(|byte| byte as u8));
    }
    let length = [0, 4, 80, 160, 320, 960][chance.below(6) as usize];
    let first = chance.next_u32();
    bytes.extend((0..length).map(|place| (first ^ place) as u8));
    if padding {
        bytes.extend([0, 0, 3]);
    }
    bytes
}

/// A far end's packets with losses, repetitions, exchanges, jumps and new sources: what each header says, and when it comes.
struct Stream {
    header: Header,
    now: u64,
}

impl Stream {
    fn new(chance: &mut Chance) -> Stream {
        let (sequence, timestamp, ssrc) = (chance.next_u32() as u16, chance.next_u32(), chance.next_u32());
        let header = Header { payload_type: 8, marker: false, sequence, timestamp, ssrc };
        Stream { header, now: 1_000_000 + chance.below(1 << 40) }
    }

    /// The next packet, `units` of the clock after the one before, more or less.
    fn step(&mut self, units: u32, chance: &mut Chance) {
        let Header { sequence, timestamp, ssrc, .. } = &mut self.header;
        match chance.below(40) {
            0 => *sequence = chance.next_u32() as u16,
            1 => *timestamp = chance.next_u32(),
            2 => *ssrc = chance.next_u32(),
            3..8 => *sequence = sequence.wrapping_add(chance.below(70) as u16),
            8..12 => {
                *sequence = sequence.wrapping_sub(chance.below(5) as u16);
                *timestamp = timestamp.wrapping_sub(units * chance.below(5) as u32);
            }
            _ => *sequence = sequence.wrapping_add(1),
        }
        *timestamp = timestamp.wrapping_add(units);
        self.header.marker = chance.below(9) == 0;
        self.now += chance.below(60_000);
    }
}

/// A stream of one far end with losses, repetitions, exchanges, jumps and new sources, some packets damaged.
pub fn try_rtp(seed: u64) -> Result<(), Failure> {
    let mut chance = Chance::from_number(seed);
    let (mut reception, mut digits) = (Reception::default(), Digits::default());
    let (mut stream, mut taken, mut pressed) = (Stream::new(&mut chance), 0, 0);
    for _ in 0..PACKETS {
        stream.step(160, &mut chance);
        let payload_type = [0, 8, 9, 13, 101, 111][chance.below(6) as usize];
        let mut bytes = draw_rtp(Header { payload_type, ..stream.header }, &mut chance);
        if chance.below(3) == 0 {
            damage(&mut bytes, &mut chance);
        }
        note(&bytes);
        let Some(read) = packet::read(&bytes) else { continue };
        taken += 1;
        let now = Moment(stream.now);
        reception.take(&read.header, payload_type != 101, now);
        pressed += u64::from(digits.take(&read, 8000, now).press.is_some_and(|press| press.is_over));
        while digits.settle(now).is_some() {
            pressed += 1;
        }
        let mut buffer = [0; 2048];
        let written = packet::write(&read.header, read.payload, &mut buffer).and_then(|length| buffer.get(..length));
        if written.and_then(packet::read) != Some(read) {
            return fail("a packet that was read does not read back as written".to_owned(), &bytes);
        }
    }
    let (totals, pattern) = (reception.totals(), reception.pattern());
    let is_sound = totals.received == taken
        && pattern.lost <= pattern.decided
        && pattern.burst_lost <= pattern.lost
        && pattern.burst_packets <= pattern.decided
        && pattern.run_longest <= pattern.lost
        && pattern.repeated + pattern.reordered <= taken
        && reception.late() <= taken
        && pressed <= taken
        && reception.jitter_ms().is_finite();
    if is_sound { Ok(()) } else { fail(format!("{taken} taken, but {totals:?} {pattern:?}"), &[]) }
}

/// Keys pressed one after the other, each told by packets of which some are lost, repeated or overtaken by the next: every
/// press of which anything comes is told once, in its order, and no other.
pub fn try_keys(seed: u64) -> Result<(), Failure> {
    let mut chance = Chance::from_number(seed);
    let (mut digits, clock_hz) = (Digits::default(), [8000, 48_000][chance.below(2) as usize]);
    let (ssrc, mut at_ms) = (chance.next_u32(), 1000 + chance.below(1 << 30));
    let (mut expected, mut told) = (String::new(), String::new());
    let begun = chance.next_u32();
    for _ in 0..12 {
        let key = ['1', '1', '5', '#', '*', 'D'][chance.below(6) as usize];
        let (packets, first_ms) = (1 + chance.below(12), at_ms);
        let timestamp = begun.wrapping_add((first_ms * u64::from(clock_hz) / 1000) as u32);
        let mut sent: Vec<(bool, TelephoneEvent)> = (0..packets + 2)
            .map(|place| {
                let duration = ((place.min(packets - 1) + 1) * 20 * u64::from(clock_hz) / 1000) as u16;
                let event = TelephoneEvent::code(key).unwrap_or(0);
                (place == 0, TelephoneEvent { event, end: place + 1 >= packets, volume: 10, duration })
            })
            .collect();
        sent.retain(|_| chance.below(10) < 6);
        if sent.len() > 1 && chance.below(2) == 0 {
            let place = chance.below(sent.len() as u64 - 1) as usize;
            sent.swap(place, place + 1);
        }
        expected.extend((!sent.is_empty()).then_some(key));
        for (marker, event) in sent {
            at_ms += 20;
            let header = Header { payload_type: 101, marker, sequence: 0, timestamp, ssrc };
            let payload = event.write();
            let news = digits.take(&Packet { header, payload: &payload }, clock_hz, Moment(at_ms * 1000));
            told.extend([news.before, news.press].into_iter().flatten().filter(|press| press.is_over).map(|p| p.key));
        }
        // At least 100 ms behind its end: two presses of one key nearer than that are told apart by what may be lost.
        at_ms = at_ms.max(first_ms + packets * 20) + 120 + chance.below(400);
        let now = Moment(at_ms * 1000);
        told.extend(std::iter::from_fn(|| digits.settle(now)).map(|press| press.key));
    }
    let over = Moment(at_ms * 1000) + QUIET_MAX;
    told.extend(std::iter::from_fn(|| digits.settle(over)).map(|press| press.key));
    if told == expected { Ok(()) } else { fail(format!("{expected} was pressed and {told} told"), &[]) }
}

/// A damaged report.
pub fn try_rtcp(seed: u64) -> Result<(), Failure> {
    let mut chance = Chance::from_number(seed);
    let about = if chance.below(2) == 0 { OURS } else { chance.next_u32() };
    let sent = rtcp::Sent { ntp: chance.next_u64(), rtp_timestamp: chance.next_u32(), packets: 1, bytes: 160 };
    let block = Block {
        ssrc: about,
        fraction_lost: chance.next_u32() as u8,
        cumulative_lost: chance.next_u32() as i32 >> 8,
        highest_sequence: chance.next_u32(),
        jitter: chance.next_u32(),
    };
    let report = rtcp::Outgoing {
        ssrc: chance.next_u32(),
        cname: "0123456789abcdef",
        sent: (chance.below(2) == 0).then_some(sent),
        block: (chance.below(4) > 0).then_some(block),
        last_sender_report: None,
        bye: chance.below(2) == 0,
    };
    let mut buffer = [0; rtcp::RTCP_BYTES_MAX];
    let Some(length) = rtcp::write(&report, &mut buffer) else { return fail("no room for a report".to_owned(), &[]) };
    let mut bytes = buffer[..length].to_vec();
    if !seed.is_multiple_of(8) {
        damage(&mut bytes, &mut chance);
    }
    note(&bytes);
    let read = rtcp::read(&bytes, OURS);
    if seed.is_multiple_of(8) && read.is_none() {
        return fail("a whole report was not read".to_owned(), &bytes);
    }
    match read.and_then(|incoming| incoming.about_us) {
        Some(about) if !(0.0..=1.0).contains(&about.fraction_lost) => fail(format!("{about:?}"), &bytes),
        Some(_) | None => Ok(()),
    }
}

/// Protected packets, some damaged, repeated or late: exactly those that came whole and for the first time are opened.
pub fn try_srtp(seed: u64) -> Result<(), Failure> {
    let mut chance = Chance::from_number(seed);
    let profile = Profile::ALL[chance.below(3) as usize];
    let secret: Vec<u8> = (0..16 + profile.salt_bytes()).map(|_| chance.next_u32() as u8).collect();
    let key = || MasterKey::new(profile, &secret).ok_or(Failure { what: "no key".to_owned(), input: secret.clone() });
    let (mut ours, mut theirs) = (Outgoing::new(key()?), Incoming::new(key()?));
    let (mut sequence, ssrc) = (chance.next_u32() as u16, chance.next_u32());
    let mut seen: Vec<Vec<u8>> = Vec::new();
    for place in 0..40u32 {
        sequence = sequence.wrapping_add(1);
        let is_report = chance.below(4) == 0;
        let plain = if is_report {
            // A receiver report without blocks.
            [&[0x80, 201, 0, 1], ssrc.to_be_bytes().as_slice()].concat()
        } else {
            let header = Header { payload_type: 8, marker: false, sequence, timestamp: place * 160, ssrc };
            draw_rtp(header, &mut chance)
        };
        let mut buffer = [0; BUFFER_BYTES];
        buffer[..plain.len()].copy_from_slice(&plain);
        let protected = if is_report {
            ours.protect_rtcp(&mut buffer, plain.len())
        } else {
            ours.protect(&mut buffer, plain.len())
        };
        let Some(whole) = protected.ok().and_then(|length| buffer.get(..length)).map(<[u8]>::to_vec) else {
            return fail("a packet of ours could not be protected".to_owned(), &plain);
        };
        let mut open = |bytes: &[u8]| {
            note(bytes);
            let mut copy = bytes.to_vec();
            let length = if is_report { theirs.open_rtcp(&mut copy) } else { theirs.open(&mut copy) };
            length.ok().map(|length| copy[..length].to_vec())
        };
        let mut damaged = whole.clone();
        damage(&mut damaged, &mut chance);
        if damaged != whole && open(&damaged).is_some() {
            return fail(format!("{profile:?}: a damaged packet was opened"), &damaged);
        }
        if let Some(old) = seen.get(chance.below(40) as usize).filter(|_| !is_report)
            && open(old).is_some()
        {
            return fail(format!("{profile:?}: a replayed packet was opened"), old);
        }
        if chance.below(8) == 0 {
            continue;
        }
        if open(&whole).as_ref() != Some(&plain) {
            return fail(format!("{profile:?}: a whole packet was not opened as it was"), &whole);
        }
        if open(&whole).is_some() {
            return fail(format!("{profile:?}: a packet was opened twice"), &whole);
        }
        if !is_report {
            seen.push(whole);
        }
    }
    Ok(())
}

/// A stream through the jitter buffer, pulled on a tick: time goes on, what comes out was put in, and memory is bounded.
pub fn try_jitter(seed: u64) -> Result<(), Failure> {
    let mut chance = Chance::from_number(seed);
    let mut jitter = Jitter::new([8000, 48_000][chance.below(2) as usize]);
    let (mut stream, mut put) = (Stream::new(&mut chance), 0u64);
    for _ in 0..PACKETS {
        stream.step(160, &mut chance);
        let content = if chance.below(9) == 0 { Content::Noise } else { Content::Sound };
        jitter.put(&stream.header, (content, &stream.header.sequence.to_be_bytes()), Moment(stream.now));
        put += 1;
        while chance.below(3) > 0 {
            let units = match jitter.pull() {
                Next::Sound { payload, skip } if payload.len() == 2 => (160 - skip).max(1),
                Next::Sound { .. } => return fail("sound came out that was not put in".to_owned(), &[]),
                Next::Noise(_) => 160,
                Next::Gap { units, .. } if units <= 0 => return fail("a gap of no length".to_owned(), &[]),
                Next::Gap { units, .. } => units.min(160),
            };
            jitter.give(units);
            jitter.tick(Moment(stream.now));
        }
    }
    let counts = jitter.counts();
    let is_sound = counts.duplicates + counts.reordered <= put;
    if is_sound { Ok(()) } else { fail(format!("{put} put in, but {counts:?}"), &[]) }
}

/// Each codec's packets, some of them garbage, through jitter buffer, decoder, concealment and stretching: every tick gives
/// its 20 ms, whatever came, and the delay stays bounded.
pub fn try_playout(seed: u64) -> Result<(), Failure> {
    let mut chance = Chance::from_number(seed);
    let codec = Codec::ALL[chance.below(4) as usize];
    let (mut playout, mut encoder) = (Playout::new(codec), Encoder::new(codec));
    let (mut stream, mut out) = (Stream::new(&mut chance), vec![0; packet_samples(codec)]);
    let mut tick = stream.now;
    for _ in 0..PACKETS / 2 {
        stream.step(codec.clock_rate() / 50, &mut chance);
        let said: Vec<i16> = out.iter().map(|_| chance.next_u32() as i16 / 4).collect();
        let mut payload = vec![0; 1500];
        let length = encoder.encode(&said, &mut payload);
        payload.truncate(length);
        match chance.below(6) {
            0 => damage(&mut payload, &mut chance),
            1 => payload = (0..chance.below(400)).map(|_| chance.next_u32() as u8).collect(),
            _ => {}
        }
        note(&payload);
        match chance.below(12) {
            0 => playout.put_noise(&stream.header, &payload, Moment(stream.now)),
            1 => playout.put(&stream.header, (Codec::ALL[chance.below(4) as usize], &payload), Moment(stream.now)),
            _ => playout.put(&stream.header, (codec, &payload), Moment(stream.now)),
        }
        while tick <= stream.now {
            playout.take(Moment(tick), &mut out);
            tick += TICK_MICROS as u64;
        }
    }
    let (delay, counts) = (playout.delay_micros(), playout.counts());
    let is_sound = delay.abs() < 60_000_000 && counts.duplicates + counts.reordered <= PACKETS;
    if is_sound { Ok(()) } else { fail(format!("{codec:?}: {delay} us, {counts:?}"), &[]) }
}
