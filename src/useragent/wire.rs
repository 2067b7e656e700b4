//! What goes out, and in which transaction: every message that we send passes here, and into the ladder.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use bytes::Bytes;

use crate::call::signal::Signal;
use crate::model::ids::is_valid_id;
use crate::model::{Chance, Counter, LegId, Now, Path, Transport};
use crate::sip::transaction::{ClientKey, Happening, ServerKey, Transactions};
use crate::sip::{Method, Reason, Request, Response, Via, compose};

use super::Effect;
use super::admission::Asked;
use super::ladder::{Ladder, Way};
use super::registrar::user_of;
use super::rules::{Listener, Rules};

/// One beat's time, and the list that its effects go to.
pub(super) struct Beat<'a> {
    pub now: Now,
    pub out: &'a mut Vec<Effect>,
}

impl Beat<'_> {
    pub(super) fn signal(&mut self, signal: Signal) {
        self.out.push(Effect::Signal(signal));
    }

    pub(super) fn count(&mut self, counter: Counter) {
        self.out.push(Effect::Count(counter));
    }

    /// A request that was refused for want of a trunk or a password: counted, and a line for whoever wonders why.
    pub(super) fn refuse(&mut self, (path, request): Asked<'_>, why: &str) {
        self.count(Counter::SipUnauthorised);
        let claimed =
            user_of(request.headers.to().filter(|_| request.method == Method::Register).or(request.headers.from()));
        // A name that could be nobody's id here may be a caller's number: it is not written down.
        let claimed = claimed.filter(|user| is_valid_id(user) && user.bytes().any(|b| b.is_ascii_alphabetic()));
        let who = claimed.map_or_else(|| "an unknown name".to_owned(), |user| format!("`{user}`"));
        let text = format!("{} as {who} from {} refused: {why}", request.method.as_str(), path.peer);
        self.out.push(Effect::Notice(text));
    }
}

/// Where a message came from, and its bytes.
pub(super) type Came<'a> = (Path, &'a Bytes);

/// The transactions and what they need.
#[derive(Debug)]
pub(super) struct Wire {
    pub rules: Rules,
    pub transactions: Transactions,
    pub ladder: Ladder,
    pub chance: Chance,
}

impl Wire {
    /// What the transactions want sent; `traced` is the leg in whose ladder it is kept. What they send again is
    /// not kept again. Everything else that happened is returned.
    pub(super) fn flow(
        &mut self,
        happenings: Vec<Happening>,
        traced: Option<LegId>,
        beat: &mut Beat<'_>,
    ) -> Vec<Happening> {
        let is_repeat = happenings.contains(&Happening::Retransmitted);
        let mut rest = Vec::new();
        for happening in happenings {
            match happening {
                Happening::Send { path, bytes } => {
                    self.send(path, bytes, traced.filter(|_| !is_repeat), beat);
                }
                Happening::Retransmitted => beat.count(Counter::SipRetransmitted),
                other @ (Happening::Request { .. }
                | Happening::Ack { .. }
                | Happening::Cancelled { .. }
                | Happening::Response { .. }
                | Happening::TimedOut { .. }
                | Happening::Cut { .. }) => rest.push(other),
            }
        }
        rest
    }

    /// Sends bytes as they are.
    pub(super) fn send(&mut self, path: Path, bytes: Bytes, traced: Option<LegId>, beat: &mut Beat<'_>) {
        if let Some(leg) = traced {
            self.ladder.keep(leg, (Way::Out, path.peer), &bytes, beat.now.utc, beat.out);
        }
        beat.out.push(Effect::Send { path, bytes });
    }

    /// Keeps a message that came in.
    pub(super) fn note(&mut self, leg: LegId, path: Path, bytes: &Bytes, beat: &mut Beat<'_>) {
        self.ladder.keep(leg, (Way::In, path.peer), bytes, beat.now.utc, beat.out);
    }

    /// Answers in a transaction.
    pub(super) fn respond(&mut self, key: &ServerKey, response: Response, traced: Option<LegId>, beat: &mut Beat<'_>) {
        let mut happenings = Vec::new();
        self.transactions.respond(key, response, beat.now.moment, &mut happenings);
        self.flow(happenings, traced, beat);
    }

    /// Answers without keeping any state (RFC 3261 §8.2.7); `request` has its Via stamped.
    pub(super) fn respond_stateless(
        &mut self,
        path: Path,
        request: &Request,
        response: &Response,
        beat: &mut Beat<'_>,
    ) {
        let Some(via) = request.headers.via() else { return };
        self.send(compose::response_path(path, &via), response.to_bytes(), None, beat);
    }

    /// Asks in a transaction of its own. RFC 3261 §18.1.1 would have what is longer than 1300 bytes go by TCP: a phone
    /// that registered by UDP listens nowhere else, so it goes in fragments, which networks of our days carry.
    pub(super) fn request(
        &mut self,
        path: Path,
        request: Request,
        traced: Option<LegId>,
        beat: &mut Beat<'_>,
    ) -> Option<ClientKey> {
        let request = self.with_via(path, request)?;
        let mut happenings = Vec::new();
        let key = self.transactions.request(path, request, beat.now.moment, &mut happenings);
        self.flow(happenings, traced, beat);
        Some(key)
    }

    /// Sends an ACK of a 2xx, which has no transaction (RFC 3261 §13.2.2.4); returns its bytes, to be sent again.
    pub(super) fn acknowledge(
        &mut self,
        path: Path,
        ack: Request,
        traced: Option<LegId>,
        beat: &mut Beat<'_>,
    ) -> Bytes {
        let bytes = self.with_via(path, ack).map(|ack| ack.to_bytes()).unwrap_or_default();
        if !bytes.is_empty() {
            self.send(path, bytes.clone(), traced, beat);
        }
        bytes
    }

    /// Cancels an INVITE of ours.
    pub(super) fn cancel(
        &mut self,
        key: &ClientKey,
        reason: Option<Reason>,
        traced: Option<LegId>,
        beat: &mut Beat<'_>,
    ) {
        let mut happenings = Vec::new();
        self.transactions.cancel_because(key, reason.as_ref(), beat.now.moment, &mut happenings);
        self.flow(happenings, traced, beat);
    }

    fn with_via(&mut self, path: Path, mut request: Request) -> Option<Request> {
        let sent_by = self.rules.listener(path.listener)?.address;
        let branch = format!("z9hG4bK{}", self.chance.token());
        request.headers.push_front("Via", Via::new(path.transport.via_name(), sent_by, &branch).to_string());
        Some(request)
    }

    /// Our RTP socket as the far end can reach it: at the advertised address, when that is of the leg's kind (IPv4 or
    /// IPv6); a socket bound to every address else at that of the listener, which the far end has just used.
    pub(super) fn reachable(&self, rtp: SocketAddr, path: Path) -> SocketAddr {
        let Some(listener) = self.rules.listener(path.listener) else { return rtp };
        let is_both = rtp.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        let is_of_kind = |ip: &IpAddr| !is_both || ip.is_ipv4() == listener.address.is_ipv4();
        let own = if rtp.ip().is_unspecified() { listener.address.ip() } else { rtp.ip() };
        SocketAddr::new(self.rules.media_advertised.filter(is_of_kind).unwrap_or(own), rtp.port())
    }

    /// Our Contact on this listener.
    pub(super) fn contact(&self, path: Path) -> Option<String> {
        let Listener { transport, address } = self.rules.listener(path.listener)?;
        Some(match transport {
            Transport::Udp => format!("<sip:vigie@{address}>"),
            Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss => {
                format!("<sip:vigie@{address};transport={}>", transport.name())
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_on_every_address_is_told_by_one_of_the_legs_kind() {
        let rules = |advertised: Option<&str>| Rules {
            listeners: ["192.0.2.1:5060", "[2001:db8::1]:5060"]
                .map(|at| Listener { transport: Transport::Udp, address: at.parse().expect("an address") })
                .to_vec(),
            media_advertised: advertised.map(|ip| ip.parse().expect("an address")),
            ..Rules::default()
        };
        let told = |advertised: Option<&str>, rtp: &str| {
            let (transactions, ladder, chance) = (Transactions::new(), Ladder::default(), Chance::new([1; 32]));
            let wire = Wire { rules: rules(advertised), transactions, ladder, chance };
            [0, 1].map(|listener| {
                let peer = "192.0.2.9:1".parse().expect("an address");
                let path = Path { listener, transport: Transport::Udp, peer };
                wire.reachable(rtp.parse().expect("an address"), path).to_string()
            })
        };
        assert_eq!(told(None, "[::]:4000"), ["192.0.2.1:4000", "[2001:db8::1]:4000"]);
        assert_eq!(told(Some("203.0.113.1"), "[::]:4000"), ["203.0.113.1:4000", "[2001:db8::1]:4000"]);
        assert_eq!(told(None, "10.0.0.1:4000"), ["10.0.0.1:4000", "10.0.0.1:4000"]);
        assert_eq!(told(Some("203.0.113.1"), "10.0.0.1:4000"), ["203.0.113.1:4000", "203.0.113.1:4000"]);
    }
}
