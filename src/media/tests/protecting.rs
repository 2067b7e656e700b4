//! SRTP over real sockets: one side protected and the other plain; what is forged, changed or sent again goes nowhere.

use super::*;
use crate::model::srtp::{Crypto, MasterKey, Profile};
use crate::rtp::srtp::{BUFFER_BYTES, Incoming, Outgoing};

/// A far end that speaks SRTP.
struct Guarded {
    peer: Peer,
    crypto: Crypto,
    protects: Outgoing,
    opens: Incoming,
}

fn key(profile: Profile, with: u8) -> MasterKey {
    MasterKey::new(profile, &vec![with; 16 + profile.salt_bytes()]).expect("a key")
}

impl Guarded {
    fn new(profile: Profile) -> Guarded {
        let crypto = Crypto { ours: key(profile, 1), theirs: key(profile, 2) };
        let (protects, opens) = (Outgoing::new(crypto.theirs.clone()), Incoming::new(crypto.ours.clone()));
        Guarded { peer: Peer::new(HERE, Codec::Pcma), crypto, protects, opens }
    }

    fn remote(&self) -> RemoteMedia {
        RemoteMedia { crypto: Some(Box::new(self.crypto.clone())), ..self.peer.remote() }
    }

    /// The next packet with this payload, protected.
    fn packet(&mut self, payload: &[u8]) -> Vec<u8> {
        let Peer { sequence, ssrc, codec, .. } = self.peer;
        let timestamp = u32::from(sequence) * 160;
        let header = Header { payload_type: codec.payload_type(), marker: false, sequence, timestamp, ssrc };
        self.peer.sequence = sequence.wrapping_add(1);
        let mut buffer = [0; BUFFER_BYTES];
        let length = packet::write(&header, payload, &mut buffer).expect("room");
        let length = self.protects.protect(&mut buffer, length).expect("protected");
        buffer[..length].to_vec()
    }

    fn send(&self, bytes: &[u8], to: SocketAddr) {
        self.peer.rtp.send_to(bytes, to).expect("sent");
    }

    /// The next packet's bytes as they came, and its payload.
    fn receive(&mut self) -> (Vec<u8>, Vec<u8>) {
        let mut buffer = [0; 2000];
        let length = self.peer.rtp.recv(&mut buffer).expect("a packet in time");
        let raw = buffer[..length].to_vec();
        let length = self.opens.open(&mut buffer[..length]).expect("authentic");
        (raw, packet::read(&buffer[..length]).expect("RTP").payload.to_vec())
    }
}

/// One leg protected and one plain, both recorded; where each sends to.
fn bridged(bench: &Bench, a: &Guarded, b: &Peer) -> (SocketAddr, SocketAddr) {
    let ports = (bench.open(0), bench.open(1));
    bench.aim(0, a.remote());
    bench.aim(1, b.remote());
    bench.media.send(MediaCommand::Bridge { a: leg(0), b: leg(1) });
    bench.media.send(MediaCommand::Record { leg: leg(0), on: true });
    bench.settle();
    ports
}

#[test]
fn a_protected_and_a_plain_side_hear_each_other_under_every_profile_and_the_frames_are_plain() {
    for profile in Profile::ALL {
        let mut bench = bench(|_| ());
        let mut ring = bench.media.rings().remove(0);
        let (mut a, mut b) = (Guarded::new(profile), Peer::new(HERE, Codec::Pcma));
        let (to_a, to_b) = bridged(&bench, &a, &b);
        for number in 0..10 {
            let said = a.packet(&[number; 160]);
            assert!(!said.windows(160).any(|part| part == [number; 160]));
            a.send(&said, to_a);
            assert_eq!(b.receive().payload, [number; 160]);
            b.send(to_b, &[100 + number; 160]);
            let (raw, payload) = a.receive();
            assert_eq!((payload, raw.len()), (vec![100 + number; 160], 172 + profile.tag_bytes()));
            assert!(!raw.windows(160).any(|part| part == [100 + number; 160]), "nothing leaves in clear");
        }
        let quality = bench.close(0);
        assert_eq!((quality.packets_received, quality.packets_sent, quality.frames_recorded), (10, 10, 10));
        let mut frames = Vec::new();
        ring.read(|frame| frames.push(frame.payload.to_vec())).expect("read");
        assert_eq!(frames, (0..10).map(|number| vec![number; 160]).collect::<Vec<_>>());
    }
}

#[test]
fn what_is_forged_changed_sent_again_or_plain_is_counted_and_neither_relayed_nor_recorded() {
    let bench = bench(|_| ());
    let (mut a, b) = (Guarded::new(Profile::Sha1Tag80), Peer::new(HERE, Codec::Pcma));
    let (to_a, _) = bridged(&bench, &a, &b);
    let first = a.packet(&[1; 160]);
    a.send(&first, to_a);
    assert_eq!(b.receive().payload, [1; 160]);
    // Again, word for word.
    a.send(&first, to_a);
    // A bit of the header, of the body and of the tag changed on the way.
    for at in [1, 7, 60, first.len() - 1] {
        let mut changed = a.packet(&[2; 160]);
        changed[at] ^= 1;
        a.send(&changed, to_a);
    }
    // Another key.
    let right = std::mem::replace(&mut a.protects, Outgoing::new(key(Profile::Sha1Tag80, 9)));
    let wrong = a.packet(&[3; 160]);
    a.send(&wrong, to_a);
    a.protects = right;
    // In clear, as if nothing had been agreed on; and no RTP at all.
    a.peer.send(to_a, &[4; 160]);
    a.send(b"short", to_a);
    bench.wait_until(|counters| counters.srtp_forged == 6 && counters.srtp_replayed == 1 && counters.malformed == 1);
    let last = a.packet(&[5; 160]);
    a.send(&last, to_a);
    assert_eq!(b.receive().payload, [5; 160], "and nothing in between");
    let quality = bench.close(0);
    assert_eq!((quality.packets_received, quality.frames_recorded), (2, 2));
    assert_eq!((quality.forged, quality.replayed, quality.malformed), (6, 1, 1));
}

#[test]
fn the_same_keys_in_a_new_sdp_keep_their_counters_and_a_changed_key_begins_anew() {
    let bench = bench(|_| ());
    let (mut a, mut b) = (Guarded::new(Profile::Gcm), Peer::new(HERE, Codec::Pcma));
    let (to_a, to_b) = bridged(&bench, &a, &b);
    let first = a.packet(&[1; 160]);
    a.send(&first, to_a);
    b.receive();
    bench.aim(0, RemoteMedia { dtmf_payload: Some(101), ..a.remote() });
    bench.settle();
    a.send(&first, to_a);
    bench.wait_until(|counters| counters.srtp_replayed == 1);
    a.crypto.theirs = key(Profile::Gcm, 7);
    bench.aim(0, a.remote());
    bench.settle();
    let stale = a.packet(&[2; 160]);
    a.send(&stale, to_a);
    bench.wait_until(|counters| counters.srtp_forged == 1);
    a.protects = Outgoing::new(a.crypto.theirs.clone());
    let fresh = a.packet(&[3; 160]);
    a.send(&fresh, to_a);
    assert_eq!(b.receive().payload, [3; 160]);
    // Our own key has stayed, and with it the way back.
    b.send(to_b, &[8; 160]);
    assert_eq!(a.receive().1, [8; 160]);
    // Plain from now on.
    bench.aim(0, a.peer.remote());
    bench.settle();
    a.peer.send(to_a, &[4; 160]);
    assert_eq!(b.receive().payload, [4; 160]);
}

#[test]
fn reports_are_protected_too_and_a_forged_one_is_not_read() {
    let bench = bench(|_| ());
    let (mut a, mut b) = (Guarded::new(Profile::Sha1Tag32), Peer::new(HERE, Codec::Pcma));
    let (to_a, to_b) = bridged(&bench, &a, &b);
    let said = a.packet(&[1; 160]);
    a.send(&said, to_a);
    b.receive();
    b.send(to_b, &[2; 160]);
    a.receive();
    let rtcp_of_a = SocketAddr::new(to_a.ip(), to_a.port() + 1);
    let report =
        rtcp::Outgoing { ssrc: 1, cname: "far end", sent: None, block: None, last_sender_report: None, bye: false };
    let mut buffer = [0; 512];
    let length = rtcp::write(&report, &mut buffer).expect("room");
    a.peer.rtcp.send_to(&buffer[..length], rtcp_of_a).expect("sent in clear");
    bench.wait_until(|counters| counters.srtp_forged + counters.srtp_replayed + counters.malformed == 1);
    let length = a.protects.protect_rtcp(&mut buffer, length).expect("protected");
    a.peer.rtcp.send_to(&buffer[..length], rtcp_of_a).expect("sent");
    bench.wait_until(|counters| counters.rtcp_received == 1);
    let quality = bench.close(0);
    assert_eq!(quality.rtcp_received, 1);
    // The report of the end, at the latest.
    let length = a.peer.rtcp.recv(&mut buffer).expect("a report");
    assert!(rtcp::read(&buffer[8..length], 0).is_none());
    let length = a.opens.open_rtcp(&mut buffer[..length]).expect("authentic");
    assert!(rtcp::read(&buffer[..length], 0).is_some());
}

#[test]
fn garbage_at_a_protected_leg_is_counted_and_goes_nowhere() {
    let mut bench = bench(|_| ());
    let mut ring = bench.media.rings().remove(0);
    let (mut a, b) = (Guarded::new(Profile::Gcm), Peer::new(HERE, Codec::Pcma));
    let (to_a, _) = bridged(&bench, &a, &b);
    let garbage = super::hostile::garbage();
    for bytes in &garbage {
        a.send(bytes, to_a);
    }
    let sent = garbage.len() as u64;
    bench.wait_until(|counters| counters.malformed + counters.srtp_forged == sent);
    let said = a.packet(&[77; 160]);
    a.send(&said, to_a);
    assert_eq!(b.receive().payload, [77; 160], "the first thing that is relayed");
    let quality = bench.close(0);
    assert_eq!((quality.malformed + quality.forged, quality.packets_received), (sent, 1));
    let mut frames = Vec::new();
    ring.read(|frame| frames.push(frame.payload.to_vec())).expect("readable");
    assert_eq!(frames, [vec![77; 160]]);
}
