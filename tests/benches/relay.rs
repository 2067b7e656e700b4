//! The floor: what two people's packets cost when nothing is done but to pass them on.
//!
//! One thread, one epoll, a plain receive and a plain send a packet; no latch, no RTCP, no count, no recording. It is
//! asked for ports by as much of rtpengine's ng protocol as `vigie load --ng` speaks:
//!
//!   cargo run --release --example bare-relay -- 127.0.0.1:2223

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;

/// The ng socket's token; a call's sides have twice its place and one more.
const NG: u64 = u64::MAX;

/// A call's two sockets: the first faces who offered, the second who answered, each with where that party hears.
struct Call {
    sides: [(UdpSocket, Option<SocketAddr>); 2],
}

struct Relay {
    epoll: OwnedFd,
    ng: UdpSocket,
    calls: Vec<Option<Call>>,
    places: HashMap<String, usize>,
}

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:2223".to_owned());
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let limit = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit)?;
    let ng = UdpSocket::bind(&address)?;
    ng.set_nonblocking(true)?;
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &ng, EventData::new_u64(NG), EventFlags::IN)?;
    let mut relay = Relay { epoll, ng, calls: Vec::new(), places: HashMap::new() };
    let mut events: Vec<Event> = Vec::with_capacity(256);
    let mut buffer = [0; 2048];
    loop {
        events.clear();
        epoll::wait(&relay.epoll, spare_capacity(&mut events), None)?;
        for event in &events {
            match event.data.u64() {
                NG => relay.answer()?,
                token => relay.pass(token, &mut buffer),
            }
        }
    }
}

impl Relay {
    fn pass(&self, token: u64, buffer: &mut [u8]) {
        let Some(Some(call)) = self.calls.get((token / 2) as usize) else { return };
        let [near, far] = &call.sides;
        let (from, (out, to)) = if token.is_multiple_of(2) { (near, far) } else { (far, near) };
        let Ok((length, _)) = from.0.recv_from(buffer) else { return };
        if let Some(to) = to {
            let _ = out.send_to(&buffer[..length], to);
        }
    }

    fn answer(&mut self) -> std::io::Result<()> {
        let mut buffer = vec![0; 65_536];
        while let Ok((length, from)) = self.ng.recv_from(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let Some((cookie, body)) = text.split_once(' ') else { continue };
            let field = |name| read(body, name).unwrap_or_default();
            let (command, id) = (field("command"), field("call-id"));
            let sdp = match command {
                "offer" => {
                    let place = self.open(field("sdp"))?;
                    self.places.insert(id.to_owned(), place);
                    self.sdp(place, 1)?
                }
                "answer" => {
                    let Some(place) = self.places.get(id).copied() else { continue };
                    if let Some(Some(call)) = self.calls.get_mut(place) {
                        call.sides[1].1 = hears(field("sdp"));
                    }
                    self.sdp(place, 0)?
                }
                _ => {
                    if let Some(place) = self.places.remove(id) {
                        self.calls[place] = None;
                    }
                    String::new()
                }
            };
            let answer = format!("{cookie} d6:result2:ok3:sdp{}:{sdp}e", sdp.len());
            self.ng.send_to(answer.as_bytes(), from)?;
        }
        Ok(())
    }

    fn open(&mut self, offer: &str) -> std::io::Result<usize> {
        let ip: IpAddr = self.ng.local_addr()?.ip();
        let place = self.calls.iter().position(Option::is_none).unwrap_or(self.calls.len());
        let sides = [UdpSocket::bind((ip, 0))?, UdpSocket::bind((ip, 0))?];
        for (side, socket) in sides.iter().enumerate() {
            socket.set_nonblocking(true)?;
            epoll::add(&self.epoll, socket, EventData::new_u64(place as u64 * 2 + side as u64), EventFlags::IN)?;
        }
        let [near, far] = sides;
        let call = Some(Call { sides: [(near, hears(offer)), (far, None)] });
        match self.calls.get_mut(place) {
            Some(free) => *free = call,
            None => self.calls.push(call),
        }
        Ok(place)
    }

    fn sdp(&self, place: usize, side: usize) -> std::io::Result<String> {
        let Some(Some(call)) = self.calls.get(place) else { return Ok(String::new()) };
        let at = call.sides[side].0.local_addr()?;
        let (ip, port) = (at.ip(), at.port());
        Ok(format!("v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP 8\r\n"))
    }
}

/// Where the SDP's writer hears.
fn hears(sdp: &str) -> Option<SocketAddr> {
    let value = |name: &str| sdp.lines().find_map(|line| line.strip_prefix(name));
    let port = value("m=audio ")?.split(' ').next()?.parse().ok()?;
    let ip = value("c=IN IP4 ")?.trim().parse().ok()?;
    Some(SocketAddr::new(ip, port))
}

/// The text of one key of a bencoded dictionary of texts.
fn read<'a>(dictionary: &'a str, wanted: &str) -> Option<&'a str> {
    let mut rest = dictionary.strip_prefix('d')?;
    loop {
        let (key, after) = text(rest)?;
        let (value, after) = text(after)?;
        if key == wanted {
            return Some(value);
        }
        rest = after;
    }
}

fn text(from: &str) -> Option<(&str, &str)> {
    let (length, rest) = from.split_once(':')?;
    rest.split_at_checked(length.parse().ok()?)
}
