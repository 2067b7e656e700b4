//! SRTP against what networks and strangers do.

use proptest::prelude::*;

use super::*;

const KEY: [u8; 30] = [0x42; 30];

fn master(profile: Profile) -> MasterKey {
    MasterKey::new(profile, &KEY[..16 + profile.salt_bytes()]).expect("a key")
}

fn pair(profile: Profile) -> (Outgoing, Incoming) {
    (Outgoing::new(master(profile)), Incoming::new(master(profile)))
}

fn rtp(sequence: u16, ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 8];
    packet.extend(sequence.to_be_bytes());
    packet.extend(u32::from(sequence).wrapping_mul(160).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend([0xd5; 160]);
    packet
}

fn rtcp(ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x81, 200, 0, 6];
    packet.extend(ssrc.to_be_bytes());
    packet.extend([9; 20]);
    packet
}

/// Protects a packet.
fn protect(outgoing: &mut Outgoing, packet: &[u8]) -> Vec<u8> {
    let mut buffer = packet.to_vec();
    buffer.resize(packet.len() + GROWTH_BYTES_MAX, 0);
    let length = outgoing.protect(&mut buffer, packet.len()).expect("protected");
    buffer.truncate(length);
    buffer
}

fn open(incoming: &mut Incoming, packet: &[u8]) -> Result<Vec<u8>, SrtpFault> {
    let mut buffer = packet.to_vec();
    let length = incoming.open(&mut buffer)?;
    buffer.truncate(length);
    Ok(buffer)
}

fn protect_rtcp(outgoing: &mut Outgoing, packet: &[u8]) -> Vec<u8> {
    let mut buffer = packet.to_vec();
    buffer.resize(packet.len() + GROWTH_BYTES_MAX, 0);
    let length = outgoing.protect_rtcp(&mut buffer, packet.len()).expect("protected");
    buffer.truncate(length);
    buffer
}

#[test]
fn what_is_protected_is_opened_again_under_every_profile() {
    for profile in Profile::ALL {
        let (mut outgoing, mut incoming) = pair(profile);
        for sequence in [65_534, 65_535, 0, 1] {
            let plain = rtp(sequence, 7);
            let sealed = protect(&mut outgoing, &plain);
            assert_eq!(sealed.len(), plain.len() + profile.tag_bytes());
            assert_ne!(sealed[12..172], plain[12..]);
            assert_eq!(open(&mut incoming, &sealed), Ok(plain), "{profile:?} {sequence}");
        }
        let report = rtcp(7);
        for _ in 0..3 {
            let mut sealed = protect_rtcp(&mut outgoing, &report);
            assert_ne!(sealed[8..28], report[8..]);
            let length = incoming.open_rtcp(&mut sealed).expect("opened");
            assert_eq!(&sealed[..length], &report);
        }
    }
}

#[test]
fn a_packet_counts_once_and_a_changed_one_never() {
    for profile in Profile::ALL {
        let (mut outgoing, mut incoming) = pair(profile);
        let sealed = protect(&mut outgoing, &rtp(1, 7));
        for at in [0, 3, 12, 171, sealed.len() - 1] {
            let mut forged = sealed.clone();
            forged[at] ^= 0x10;
            assert!(open(&mut incoming, &forged).is_err(), "{profile:?}, byte {at}");
        }
        assert!(open(&mut incoming, &sealed).is_ok(), "a forgery has used the packet's index up");
        assert_eq!(open(&mut incoming, &sealed), Err(SrtpFault::Replayed));
        let report = protect_rtcp(&mut outgoing, &rtcp(7));
        assert!(incoming.open_rtcp(&mut report.clone()).is_ok());
        assert_eq!(incoming.open_rtcp(&mut report.clone()), Err(SrtpFault::Replayed));
    }
}

#[test]
fn overtaken_packets_around_the_wrap_keep_their_round() {
    let (mut outgoing, mut incoming) = pair(Profile::Sha1Tag80);
    let sealed: Vec<_> = [65_533, 65_534, 65_535, 0, 1, 2].map(|n| protect(&mut outgoing, &rtp(n, 7))).into();
    for at in [0, 1, 3, 2, 5, 4] {
        assert!(open(&mut incoming, &sealed[at]).is_ok(), "{at}");
    }
}

#[test]
fn a_stream_goes_on_after_a_restart_where_it_was() {
    for profile in Profile::ALL {
        let (mut outgoing, mut incoming) = pair(profile);
        for sequence in (0..=u16::MAX).step_by(16_000).chain([3, 4]) {
            open(&mut incoming, &protect(&mut outgoing, &rtp(sequence, 7))).expect("opened");
        }
        let kept = (serde_json::to_string(&outgoing).unwrap(), serde_json::to_string(&incoming).unwrap());
        let mut outgoing: Outgoing = serde_json::from_str(&kept.0).unwrap();
        let mut incoming: Incoming = serde_json::from_str(&kept.1).unwrap();
        let sealed = protect(&mut outgoing, &rtp(5, 7));
        assert_eq!(open(&mut incoming, &sealed), Ok(rtp(5, 7)));
        assert_eq!(open(&mut incoming, &sealed), Err(SrtpFault::Replayed));
    }
}

#[test]
fn a_new_source_begins_anew_and_many_do_not_fill_memory() {
    let (mut outgoing, mut incoming) = pair(Profile::Gcm);
    for ssrc in 0..100 {
        for sequence in [65_535, 0] {
            let plain = rtp(sequence, ssrc);
            assert_eq!(open(&mut incoming, &protect(&mut outgoing, &plain)), Ok(plain));
        }
    }
    assert!(serde_json::to_string(&incoming).unwrap().matches("ssrc").count() <= SOURCES_MAX);
}

#[test]
fn without_room_for_the_tag_the_packet_is_refused() {
    let (mut outgoing, _) = pair(Profile::Sha1Tag80);
    let mut packet = rtp(1, 7);
    let length = packet.len();
    packet.push(0);
    assert_eq!(outgoing.protect(&mut packet, length), Err(SrtpFault::NoRoom));
    assert_eq!(outgoing.protect(&mut packet, 5000), Err(SrtpFault::Malformed));
    assert_eq!(outgoing.protect_rtcp(&mut [0x80; 9], 8), Err(SrtpFault::NoRoom));
}

proptest! {
    #[test]
    fn garbage_is_refused_without_a_panic(mut noise in proptest::collection::vec(any::<u8>(), 0..300), first in any::<u8>()) {
        if let Some(byte) = noise.first_mut() {
            *byte = 0x80 | first & 0x3f;
        }
        for profile in Profile::ALL {
            let (mut outgoing, mut incoming) = pair(profile);
            prop_assert!(incoming.open(&mut noise.clone()).is_err());
            prop_assert!(incoming.open_rtcp(&mut noise.clone()).is_err());
            let length = noise.len();
            let _ = outgoing.protect(&mut noise.clone(), length);
        }
    }
}
