//! A leg's direct way: a second socket at the RTP port, connected to the far end once it is known.
//!
//! The kernel looks the way up once for a connected socket and not for every packet, which saves about a fifth of what
//! sending costs (tests/benches/RESULTS.md). What the far end sends arrives here; whatever strangers send still comes to the
//! port's own socket, where it is counted.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::net::sockopt;

use super::ports::{self, Pair};

/// The connected socket, and where it leads.
#[derive(Debug)]
pub(super) struct Direct {
    pub(super) socket: UdpSocket,
    to: SocketAddr,
}

impl Direct {
    /// Whether it leads there.
    pub(super) fn leads_to(&self, to: SocketAddr) -> bool {
        self.to == to
    }
}

impl Pair {
    /// Leads the direct way to where the far end is, and has what comes on it told under `token`.
    pub(super) fn lead(&mut self, to: SocketAddr, epoll: &OwnedFd, token: u64) -> io::Result<()> {
        let written = self.as_written(to);
        if let Some(direct) = &mut self.direct {
            rustix::net::connect(&direct.socket, &written)?;
            direct.to = to;
            return Ok(());
        }
        let direct = self.open_direct(to)?;
        epoll::add(epoll, &direct.socket, EventData::new_u64(token), EventFlags::IN)?;
        self.direct = Some(direct);
        Ok(())
    }

    /// The port may be shared only while the second socket is being opened, so that nobody else, this process's other legs
    /// included, can take it.
    fn open_direct(&self, to: SocketAddr) -> io::Result<Direct> {
        sockopt::set_socket_reuseaddr(&self.rtp, true)?;
        let opened = ports::open_one(self.address, true);
        sockopt::set_socket_reuseaddr(&self.rtp, false)?;
        let socket = opened?;
        sockopt::set_socket_reuseaddr(&socket, false)?;
        rustix::net::connect(&socket, &self.as_written(to))?;
        Ok(Direct { socket, to })
    }
}
