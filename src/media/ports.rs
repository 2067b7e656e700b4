//! The UDP ports of legs: RTP on an even one, RTCP on the next (RFC 3550 §11).

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};

use socket2::{Domain, Protocol, Socket, Type};

use super::MediaError;
use super::direct::Direct;

/// Expedited forwarding (RFC 3246), as RFC 4594 §4.1 asks for telephony, in the TOS octet.
const EXPEDITED: u32 = 46 << 2;

/// The configured range; shared by all threads, touched only when a leg opens or closes.
#[derive(Debug)]
pub(super) struct Ports {
    address: IpAddr,
    first: u16,
    pairs: u32,
    next: AtomicU32,
    open: AtomicU32,
}

/// A leg's sockets, non-blocking.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) rtp: UdpSocket,
    pub(super) rtcp: UdpSocket,
    pub(super) address: SocketAddr,
    /// Once the far end is known.
    pub(super) direct: Option<Direct>,
    /// The system would open no direct way for it: it is not asked again.
    pub(super) has_no_direct: bool,
}

impl Pair {
    /// Sends RTP, the direct way when it leads there; whether the system took it.
    pub(super) fn send_rtp(&self, bytes: &[u8], to: SocketAddr) -> bool {
        match self.direct.as_ref().filter(|direct| direct.leads_to(to)) {
            Some(direct) => direct.socket.send(bytes).is_ok(),
            None => self.rtp.send_to(bytes, self.as_written(to)).is_ok(),
        }
    }

    /// Sends RTCP; whether the system took it.
    pub(super) fn send_rtcp(&self, bytes: &[u8], to: SocketAddr) -> bool {
        self.rtcp.send_to(bytes, self.as_written(to)).is_ok()
    }

    /// A socket of IPv6 reaches IPv4 by mapped addresses (RFC 4291 §2.5.5.2).
    pub(super) fn as_written(&self, to: SocketAddr) -> SocketAddr {
        match to.ip() {
            IpAddr::V4(v4) if self.address.is_ipv6() => SocketAddr::new(v4.to_ipv6_mapped().into(), to.port()),
            IpAddr::V4(_) | IpAddr::V6(_) => to,
        }
    }
}

impl Ports {
    pub(super) fn new(address: IpAddr, (first, last): (u16, u16)) -> Result<Ports, MediaError> {
        let even = (first as u32).next_multiple_of(2).max(2);
        let pairs = (last as u32 + 1).saturating_sub(even) / 2;
        match u16::try_from(even) {
            Ok(even) if pairs > 0 => {
                Ok(Ports { address, first: even, pairs, next: AtomicU32::new(0), open: AtomicU32::new(0) })
            }
            Ok(_) | Err(_) => Err(MediaError::PortRange { first, last }),
        }
    }

    /// Binds the next free pair, after the one bound last; why not, when there is none.
    pub(super) fn open(&self) -> Result<Pair, String> {
        // When all are ours there is no use in asking the system for each again.
        let tries = if self.open.load(Ordering::Relaxed) < self.pairs { self.pairs } else { 0 };
        for _ in 0..tries {
            let place = self.next.fetch_add(1, Ordering::Relaxed) % self.pairs;
            match bind(self.address, self.first + (place * 2) as u16) {
                Ok(pair) => {
                    self.open.fetch_add(1, Ordering::Relaxed);
                    return Ok(pair);
                }
                Err(fault) if fault.kind() == io::ErrorKind::AddrInUse => {}
                Err(fault) => return Err(format!("binding RTP at {}: {fault}", self.address)),
            }
        }
        Err(format!("no free pair of ports at {} from {}: widen media.ports", self.address, self.first))
    }

    /// A pair was closed.
    pub(super) fn give_back(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

fn bind(address: IpAddr, port: u16) -> io::Result<Pair> {
    let at = |port| SocketAddr::new(address, port);
    Ok(Pair {
        rtp: open_one(at(port), false)?,
        rtcp: open_one(at(port + 1), false)?,
        address: at(port),
        direct: None,
        has_no_direct: false,
    })
}

/// A socket at this address, non-blocking and marked; `is_shared`: beside another that allows it.
pub(super) fn open_one(at: SocketAddr, is_shared: bool) -> io::Result<UdpSocket> {
    let address = at.ip();
    let socket = Socket::new(Domain::for_address(at), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        // On every address, IPv4 is served as well: a phone of each kind can talk to one of the other.
        socket.set_only_v6(!address.is_unspecified())?;
    }
    socket.set_reuse_address(is_shared)?;
    socket.bind(&at.into())?;
    socket.set_nonblocking(true)?;
    // Without the mark the call still works.
    let _ = match address {
        IpAddr::V4(_) => socket.set_tos_v4(EXPEDITED),
        IpAddr::V6(_) => socket.set_tclass_v6(EXPEDITED).and_then(|()| socket.set_tos_v4(EXPEDITED)),
    };
    Ok(UdpSocket::from(socket))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A loopback address of this process's own: tests that name their ports do not meet those of another run.
    pub(in crate::media) fn own_address() -> IpAddr {
        let [_, high, middle, low] = std::process::id().to_be_bytes();
        IpAddr::from([127, 64 | high, middle, low.clamp(1, 254)])
    }

    #[test]
    fn rtp_takes_even_ports_skips_those_in_use_and_says_when_none_is_left() {
        let taken = UdpSocket::bind((own_address(), 31_733)).expect("a port");
        let ports = Ports::new(own_address(), (31_729, 31_736)).expect("a range");
        let first = ports.open().expect("30");
        let second = ports.open().expect("34, for 33 is taken");
        assert_eq!((first.address.port(), second.address.port()), (31_730, 31_734));
        assert!(ports.open().expect_err("none").contains("media.ports"));
        drop((taken, first));
        ports.give_back();
        assert!(ports.open().is_ok_and(|pair| [31_730, 31_732].contains(&pair.address.port())));
    }

    #[test]
    fn a_socket_on_every_address_reaches_both_kinds_and_one_of_ipv6_its_own() {
        let heard = |at: &str, pair: &Pair| {
            let phone = UdpSocket::bind(at).expect("a port");
            phone.set_read_timeout(Some(std::time::Duration::from_secs(20))).expect("set");
            pair.send_rtp(b"hello", phone.local_addr().expect("its address")) && phone.recv(&mut [0; 9]).is_ok()
        };
        let every = Ports::new("::".parse().expect("an address"), (31_750, 31_790)).expect("a range");
        let every = every.open().expect("a pair");
        assert!(heard("127.0.0.1:0", &every) && heard("[::1]:0", &every));
        let one = Ports::new("::1".parse().expect("an address"), (31_750, 31_790)).expect("a range");
        let one = one.open().expect("a pair");
        assert!(heard("[::1]:0", &one) && !one.send_rtp(b"hello", ([127, 0, 0, 1], 9).into()));
    }

    #[test]
    fn a_range_without_a_pair_is_refused() {
        let range = |ports| Ports::new(own_address(), ports);
        assert!(range((4001, 4002)).is_err() && range((4001, 4003)).is_ok());
        assert!(range((5000, 4000)).is_err() && range((65_534, 65_535)).is_ok());
        assert!(range((65_535, 65_535)).is_err());
    }
}
