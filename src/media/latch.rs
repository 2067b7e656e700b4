//! Symmetric RTP: which source address is the leg's far end, and where its packets are sent.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::model::{Moment, RemoteMedia};

/// The address that a leg hears and speaks to, after one SDP.
#[derive(Clone, Copy, Debug)]
pub(super) struct Latch {
    sdp: SocketAddr,
    signalling: IpAddr,
    send_to: SocketAddr,
    heard: Option<Heard>,
}

#[derive(Clone, Copy, Debug)]
struct Heard {
    from: SocketAddr,
    at: Moment,
}

impl Latch {
    /// What `remote` says. When its address is the old one (a session refresh), what is sent goes on to where it went.
    pub(super) fn new(remote: &RemoteMedia, before: Option<Latch>) -> Latch {
        let send_to = match before {
            Some(before) if before.sdp == remote.rtp => before.send_to,
            Some(_) | None => remote.rtp,
        };
        Latch { sdp: remote.rtp, signalling: remote.signalling, send_to, heard: None }
    }

    /// Where to send RTP.
    pub(super) fn send_to(&self) -> SocketAddr {
        self.send_to
    }

    /// Where the far end speaks from; where it is spoken to as well.
    pub(super) fn heard_from(&self) -> Option<SocketAddr> {
        self.heard.map(|heard| heard.from).filter(|from| *from == self.send_to)
    }

    /// Whether a packet from `from` is the far end's, or may become so: the SDP's address always; the first one from the SDP's
    /// or the signalling's IP; then that one alone, until it is silent for `relatch_after` and its IP speaks from another port.
    pub(super) fn admits(&self, from: SocketAddr, relatch_after: Duration, now: Moment) -> bool {
        if is_same(from, self.sdp) {
            return true;
        }
        match self.heard {
            None => is_same_ip(from.ip(), self.sdp.ip()) || is_same_ip(from.ip(), self.signalling),
            Some(heard) if is_same(heard.from, from) => true,
            Some(heard) => is_same_ip(heard.from.ip(), from.ip()) && now.since(heard.at) >= relatch_after,
        }
    }

    /// Takes `from`, which was admitted and sent good RTP, as the far end.
    pub(super) fn take(&mut self, from: SocketAddr, now: Moment) {
        self.heard = Some(Heard { from, at: now });
        self.send_to = from;
    }

    /// Where to send RTCP: behind a NAT, next to the RTP (RFC 3550 §11), else where the SDP says.
    pub(super) fn rtcp_to(&self, said: SocketAddr) -> SocketAddr {
        if is_same(self.send_to, self.sdp) {
            return said;
        }
        SocketAddr::new(self.send_to.ip(), self.send_to.port().saturating_add(1))
    }

    /// Whether RTCP from `from` is the far end's: from where the SDP says that it is, or, behind a NAT (whose RTCP port
    /// nobody knows), from the latched IP.
    pub(super) fn admits_rtcp(&self, from: SocketAddr, said: SocketAddr) -> bool {
        let behind_nat = !is_same_ip(self.send_to.ip(), self.sdp.ip());
        is_same(from, said)
            || is_same(from, self.rtcp_to(said))
            || (behind_nat && is_same_ip(from.ip(), self.send_to.ip()))
    }
}

/// A socket bound to `::` sees IPv4 sources as mapped addresses.
fn is_same_ip(a: IpAddr, b: IpAddr) -> bool {
    a.to_canonical() == b.to_canonical()
}

fn is_same(a: SocketAddr, b: SocketAddr) -> bool {
    a.port() == b.port() && is_same_ip(a.ip(), b.ip())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Codec, Direction};

    const RELATCH: Duration = Duration::from_secs(2);

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    fn remote() -> RemoteMedia {
        RemoteMedia {
            rtp: at("10.0.0.5:4000"),
            rtcp: at("10.0.0.5:4001"),
            signalling: "192.0.2.9".parse().expect("an address"),
            codec: Codec::Pcma,
            payload: 8,
            dtmf_payload: None,
            dtmf_clock_hz: 8000,
            formats: Vec::new(),
            direction: Direction::Both,
            crypto: None,
        }
    }

    fn admits(latch: &Latch, from: &str, seconds: u64) -> bool {
        latch.admits(at(from), RELATCH, Moment(seconds * 1_000_000))
    }

    #[test]
    fn only_the_sdp_and_the_signalling_address_may_latch() {
        let latch = Latch::new(&remote(), None);
        assert!(
            admits(&latch, "10.0.0.5:4000", 0) && admits(&latch, "10.0.0.5:9", 0) && admits(&latch, "192.0.2.9:7", 0)
        );
        assert!(!admits(&latch, "192.0.2.10:7", 0) && !admits(&latch, "192.0.2.10:4000", 0));
        assert_eq!(latch.send_to(), at("10.0.0.5:4000"));
    }

    #[test]
    fn once_latched_no_other_port_is_heard_until_silence() {
        let mut latch = Latch::new(&remote(), None);
        latch.take(at("192.0.2.9:7000"), Moment(0));
        assert_eq!(latch.send_to(), at("192.0.2.9:7000"));
        assert!(admits(&latch, "192.0.2.9:7000", 1) && !admits(&latch, "192.0.2.9:7002", 1));
        assert!(admits(&latch, "192.0.2.9:7002", 2));
        assert!(!admits(&latch, "10.0.0.5:9", 60), "another IP never takes over without a new SDP");
    }

    #[test]
    fn the_sdp_s_own_address_always_wins() {
        let mut latch = Latch::new(&remote(), None);
        latch.take(at("192.0.2.9:7000"), Moment(0));
        assert!(admits(&latch, "10.0.0.5:4000", 0));
    }

    #[test]
    fn a_new_sdp_with_the_same_address_keeps_sending_where_it_did() {
        let mut latch = Latch::new(&remote(), None);
        latch.take(at("192.0.2.9:7000"), Moment(0));
        let refreshed = Latch::new(&remote(), Some(latch));
        assert_eq!(refreshed.send_to(), at("192.0.2.9:7000"));
        assert!(admits(&refreshed, "192.0.2.9:8000", 0), "and may latch anew");
        let moved = Latch::new(&RemoteMedia { rtp: at("10.0.0.6:4000"), ..remote() }, Some(latch));
        assert_eq!(moved.send_to(), at("10.0.0.6:4000"));
    }

    #[test]
    fn rtcp_is_taken_from_its_own_address_or_from_behind_the_nat() {
        let said = remote().rtcp;
        let mut latch = Latch::new(&remote(), None);
        assert!(latch.admits_rtcp(said, said) && !latch.admits_rtcp(at("10.0.0.5:9"), said));
        assert!(!latch.admits_rtcp(at("192.0.2.9:9"), said));
        latch.take(at("192.0.2.9:7000"), Moment(0));
        assert!(latch.admits_rtcp(at("192.0.2.9:9"), said));
        assert_eq!(latch.rtcp_to(said), at("192.0.2.9:7001"));
    }

    #[test]
    fn a_mapped_address_is_its_ipv4_address() {
        assert!(admits(&Latch::new(&remote(), None), "[::ffff:10.0.0.5]:4000", 0));
    }
}
