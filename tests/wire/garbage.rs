//! Garbage, wrong payload types, bursts, strangers and a spoofed BYE at the media ports of the executable: counted, never
//! relayed, recorded or answered, and the call goes on.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::net::UdpSocket;
use vigie::model::Codec;
use vigie::rtp::codec::{Encoder, packet_samples};
use vigie::rtp::g711::{self, Law};
use vigie::rtp::srtp::{BUFFER_BYTES, MasterKey, Outgoing, Profile};

use super::harness::{let_pass, until};
use super::phone::Phone;
use super::server::{Server, Setup};
use super::sound::{length_of_tone_ms, tone};
use super::voice::{FRAME, Words, packet};

/// What garbage that looks like sound would be heard as.
const FOREIGN_HERTZ: f64 = 2000.0;

/// A packet of 20 ms of the foreign tone.
fn foreign(payload_type: u8, sequence: u16) -> Vec<u8> {
    let sound: Vec<u8> = tone(FOREIGN_HERTZ, FRAME).iter().map(|sample| g711::encode(Law::A, *sample)).collect();
    let mut bytes = packet(sequence, 0x0051_ED00, &sound);
    bytes[1] = payload_type;
    bytes
}

/// A binding request (RFC 8489 §5), with its magic cookie.
fn stun() -> Vec<u8> {
    [&[0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42], [7; 12].as_slice()].concat()
}

/// A lone BYE (RFC 3550 §6.6), which no compound packet may be, and one behind an empty report.
fn byes() -> [Vec<u8>; 2] {
    let bye = [&[0x81, 203, 0, 1], 0x0051_ED00_u32.to_be_bytes().as_slice()].concat();
    let report = [&[0x80, 201, 0, 1], 0x0051_ED00_u32.to_be_bytes().as_slice()].concat();
    [bye.clone(), [report, bye].concat()]
}

/// What may stand at no RTP port, or not in this call: each is to be counted as malformed.
fn garbage() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = vec![
        Vec::new(),
        vec![0x80],
        vec![0xff; 200],
        stun(),
        // A DTLS ClientHello's record, a report, a message of the wrong protocol.
        [&[22, 0xfe, 0xfd], [0; 60].as_slice()].concat(),
        [&[0x80, 200, 0, 6], [0; 24].as_slice()].concat(),
        b"OPTIONS sip:vigie SIP/2.0\r\n\r\n".to_vec(),
        foreign(8, 1)[..11].to_vec(),
        foreign(8, 1).repeat(12),
        // Another version; padding and contributing sources beyond the end; keys that are none.
        [&[0x40], &foreign(8, 2)[1..]].concat(),
        [&[0xa0], &foreign(8, 3)[1..171], &[255]].concat(),
        [&[0x8f, 8], [0; 30].as_slice()].concat(),
        foreign(101, 4),
        foreign(101, 5)[..14].to_vec(),
    ];
    all.extend([1, 3, 4, 9, 18, 34, 63, 77, 95, 96, 111, 127].map(|payload_type| foreign(payload_type, 5)));
    // Bytes without order; the version bits say that they are no RTP.
    let mut dice = 0x9E37_79B9_u32;
    all.extend((1..100).map(|length| {
        let throw = |_| {
            dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (dice >> 24) as u8
        };
        let mut bytes: Vec<u8> = (0..length * 3).map(throw).collect();
        bytes[0] &= 0x3f;
        bytes
    }));
    all
}

/// Garbage for an RTCP port.
fn garbage_reports() -> Vec<Vec<u8>> {
    let mut all = vec![vec![0x80], vec![0xff; 64], stun(), byes()[0].clone(), vec![0x80, 200, 0, 6, 0, 0, 0, 1]];
    all.push([&[0x9f, 201, 0, 1], [1; 4].as_slice()].concat());
    all
}

async fn counted(server: &Server, what: &str) -> u64 {
    server.metric(&format!("vigie_media_total{{what=\"{what}\"}}")).await as u64
}

async fn is_counted(server: &Server, what: &str, at_least: u64) {
    until(&format!("{at_least} {what}"), || async { (counted(server, what).await >= at_least).then_some(()) }).await;
}

/// Sends all, a few at a time: a burst beyond what a socket holds would be lost in the system, and prove nothing.
async fn pour(socket: &UdpSocket, all: &[Vec<u8>], to: SocketAddr) {
    for some in all.chunks(16) {
        for bytes in some {
            socket.send_to(bytes, to).await.expect("sent");
        }
        let_pass(Duration::from_millis(5)).await;
    }
}

fn beside(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port() + 1)
}

/// Neither side of the recording holds the foreign tone, and it is whole.
async fn is_recorded_clean(server: &Server, story: &Value) {
    for side in server.api.audio(story).await {
        assert_eq!(length_of_tone_ms(&side, FOREIGN_HERTZ), 0);
    }
    server.assert_sound();
}

#[tokio::test]
async fn garbage_of_the_far_end_s_own_is_counted_and_neither_relayed_nor_recorded_nor_answered() {
    let server = Setup::new().start().await;
    let anne = Phone::regulator(&server, "anne").await;
    anne.voice.says(Words::Tone(1000.0));
    let caller = Phone::caller(&server, "+33612345678").await;
    let reports = UdpSocket::bind(beside(caller.voice.local)).await.expect("the port beside the phone's RTP");
    caller.dial_in("0261910101").await;
    anne.voice.hears(440.0, 300).await;
    let before = counted(&server, "malformed").await;

    let target = caller.voice.far_end();
    for bytes in garbage() {
        caller.voice.throws(&bytes, target).await;
        let_pass(Duration::from_millis(1)).await;
    }
    pour(&reports, &garbage_reports(), beside(target)).await;
    let sent = (garbage().len() + garbage_reports().len()) as u64;
    is_counted(&server, "malformed", before + sent).await;
    // The BYE that is a report ends nothing: only signalling does.
    reports.send_to(&byes()[1], beside(target)).await.expect("sent");
    is_counted(&server, "rtcp_received", 1).await;
    anne.voice.hears(440.0, 500).await;
    caller.voice.hears(1000.0, 500).await;
    assert_eq!((anne.voice.odd_heard(), caller.voice.odd_heard()), (0, 0), "nothing of it came to anybody");
    assert_eq!(anne.voice.heard_ms(FOREIGN_HERTZ), 0);
    let mut answer = [0; 1500];
    while let Ok((length, _)) = reports.try_recv_from(&mut answer) {
        // Vigie's own reports: SR or RR first.
        assert!(length >= 8 && matches!(answer[1], 200 | 201), "{:?}", &answer[..length]);
    }

    caller.hang_up().await;
    let story = server.api.sealed().await;
    let quality = &story["legs"][0]["quality"];
    assert_eq!(quality["malformed"].as_u64(), Some(sent), "{quality:#}");
    assert_eq!(quality["rtcp_packets_received"].as_u64(), Some(1), "{quality:#}");
    assert!(quality["frames_recorded"].as_u64() <= quality["packets_received"].as_u64(), "{quality:#}");
    is_recorded_clean(&server, &story).await;
}

#[tokio::test]
async fn strangers_may_flood_both_ports_with_good_packets_garbage_and_a_bye_and_nobody_hears_of_it() {
    let server = Setup::new().start().await;
    let (anne, caller) = Phone::pair(&server, "0261910101").await;
    anne.voice.says(Words::Tone(1000.0));
    anne.voice.hears(440.0, 300).await;

    let bind = || async { UdpSocket::bind("127.9.9.9:0").await.expect("a stranger's socket") };
    let (rtp, rtcp) = (bind().await, bind().await);
    let target = caller.voice.far_end();
    let mut all = garbage();
    // The right payload type, source and numbers that lie ahead: only the address tells them apart.
    all.extend((0..400).map(|place| foreign(8, 20_000 + place)));
    pour(&rtp, &all, target).await;
    let mut reports = garbage_reports();
    reports.extend(byes());
    pour(&rtcp, &reports, beside(target)).await;
    is_counted(&server, "strangers", (all.len() + reports.len()) as u64).await;
    anne.voice.hears(440.0, 500).await;
    caller.voice.hears(1000.0, 500).await;
    assert_eq!((anne.voice.odd_heard(), anne.voice.heard_ms(FOREIGN_HERTZ)), (0, 0));
    for socket in [&rtp, &rtcp] {
        assert!(socket.try_recv_from(&mut [0; 1500]).is_err(), "a stranger got an answer");
    }

    caller.hang_up().await;
    let story = server.api.sealed().await;
    let quality = &story["legs"][0]["quality"];
    assert_eq!(quality["strangers"].as_u64(), Some((all.len() + reports.len()) as u64), "{quality:#}");
    assert_eq!((quality["malformed"].as_u64(), quality["packets_lost"].as_u64()), (Some(0), Some(0)), "{quality:#}");
    assert!(quality["mos"].as_f64() > Some(4.3), "{quality:#}");
    is_recorded_clean(&server, &story).await;
}

#[tokio::test]
async fn garbage_of_a_leg_that_is_transcoded_sounds_nowhere_and_its_own_sound_does() {
    let server = Setup::new().change("silence_max = \"5s\"", "silence_max = \"60s\"").start().await;
    let anne = Phone::regulator(&server, "anne").await;
    anne.voice.agrees_to_g722();
    anne.voice.says(Words::Nothing);
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    anne.talks().await;
    until("the two are mixed", || async { (counted(&server, "packets_mixed").await > 50).then_some(()) }).await;
    let before = counted(&server, "malformed").await;

    let target = anne.voice.far_end();
    // Payload type 9 is agreed on here.
    let garbage: Vec<Vec<u8>> = garbage().into_iter().filter(|bytes| bytes.get(1) != Some(&9)).collect();
    caller.voice.forget();
    for bytes in &garbage {
        anne.voice.throws(bytes, target).await;
        let_pass(Duration::from_millis(2)).await;
    }
    is_counted(&server, "malformed", before + garbage.len() as u64).await;
    until("a while is heard", || std::future::ready((caller.voice.samples().len() > 16_000).then_some(()))).await;
    let loudest = caller.voice.samples().iter().map(|sample| sample.unsigned_abs()).max();
    assert!(loudest < Some(200), "silence, but {loudest:?} is heard");

    let mut encoder = Encoder::new(Codec::G722);
    let step = std::f64::consts::TAU * 1000.0 / f64::from(Codec::G722.sample_rate());
    for place in 0..100_u16 {
        let at = usize::from(place) * packet_samples(Codec::G722);
        let said = (at..at + packet_samples(Codec::G722)).map(|n| ((step * n as f64).sin() * 8000.0) as i16);
        let mut payload = [0; FRAME];
        encoder.encode(&said.collect::<Vec<_>>(), &mut payload);
        let mut bytes = packet(place, 0x0051_ED01, &payload);
        bytes[1] = 9;
        anne.voice.throws(&bytes, target).await;
        let_pass(Duration::from_millis(20)).await;
    }
    assert!(caller.voice.heard_ms(1000.0) >= 1000, "{} ms", caller.voice.heard_ms(1000.0));
    assert_eq!(caller.voice.odd_heard(), 0);
    caller.hang_up().await;
    let story = server.api.sealed().await;
    let quality = &story["legs"][1]["quality"];
    assert_eq!(
        (quality["malformed"].as_u64(), &quality["mos_scale"]),
        (Some(garbage.len() as u64), &"wideband".into())
    );
    server.assert_sound();
}

/// The INVITE with media protected by this key, and no other.
fn protected(invite: &str, key: &str) -> String {
    let (head, body) = invite.split_once("\r\n\r\n").expect("a body");
    let body = body.replace("RTP/AVP", "RTP/SAVP") + &format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}\r\n");
    let kept = head.lines().filter(|line| !line.starts_with("Content-Length"));
    let head: String = kept.map(|line| format!("{line}\r\n")).collect();
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn a_protected_leg_takes_nothing_that_its_key_has_not_signed_and_nothing_twice() {
    let setup = Setup::new().change("silence_max = \"5s\"", "silence_max = \"60s\"");
    let server = setup.change("calls_max = 40", "calls_max = 40\nsrtp = \"required\"").start().await;
    let anne = Phone::regulator(&server, "anne").await;
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.voice.says(Words::Nothing);
    let secret: Vec<u8> = (1..31).collect();
    // The bytes 1 to 30, in base64.
    let invite = protected(&caller.invite("0261910101"), "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0e");
    caller.dial(invite).await;
    anne.talks().await;
    let target = caller.voice.far_end();

    // Plain packets that are right but for the key, garbage, and reports nobody has signed.
    let forged: Vec<Vec<u8>> = (0..200).map(|place| foreign(8, 100 + place)).chain(garbage()).collect();
    for bytes in &forged {
        caller.voice.throws(bytes, target).await;
        let_pass(Duration::from_millis(1)).await;
    }
    let reports = UdpSocket::bind(beside(caller.voice.local)).await.expect("the port beside the phone's RTP");
    let unsigned: Vec<Vec<u8>> = garbage_reports().into_iter().chain(byes()).collect();
    pour(&reports, &unsigned, beside(target)).await;
    let all = (forged.len() + unsigned.len()) as u64;
    until("all are counted", || async {
        let refused = counted(&server, "srtp_forged").await + counted(&server, "malformed").await;
        (refused >= all).then_some(())
    })
    .await;
    assert!(anne.voice.samples().is_empty(), "nothing was passed on");

    // What is signed is heard; a second time it is not.
    let key = MasterKey::new(Profile::Sha1Tag80, &secret).expect("a key");
    let mut ours = Outgoing::new(key);
    let said: Vec<u8> = tone(440.0, FRAME * 40).iter().map(|sample| g711::encode(Law::A, *sample)).collect();
    for (place, frame) in said.chunks(FRAME).enumerate() {
        let plain = packet(1000 + place as u16, 0x0051_ED00, frame);
        let mut buffer = [0; BUFFER_BYTES];
        buffer[..plain.len()].copy_from_slice(&plain);
        let length = ours.protect(&mut buffer, plain.len()).expect("protected");
        for _ in 0..2 {
            caller.voice.throws(&buffer[..length], target).await;
            let_pass(Duration::from_millis(5)).await;
        }
    }
    is_counted(&server, "srtp_replayed", 40).await;
    until("all of it is heard", || std::future::ready((anne.voice.samples().len() >= FRAME * 40).then_some(()))).await;
    assert_eq!((anne.voice.samples().len(), anne.voice.heard_ms(FOREIGN_HERTZ)), (FRAME * 40, 0));
    caller.hang_up().await;
    let story = server.api.sealed().await;
    let quality = &story["legs"][0]["quality"];
    assert_eq!(
        (quality["packets_received"].as_u64(), quality["replayed"].as_u64()),
        (Some(40), Some(40)),
        "{quality:#}"
    );
    assert_eq!(quality["forged"].as_u64().zip(quality["malformed"].as_u64()).map(|(a, b)| a + b), Some(all));
    assert_eq!(quality["rtcp_packets_received"].as_u64(), Some(0), "{quality:#}");
    is_recorded_clean(&server, &story).await;
}
