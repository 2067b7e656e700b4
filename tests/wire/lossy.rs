//! A bad network for SIP on loopback: it loses, repeats and reorders datagrams, always in the same way for one seed.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// Of a hundred datagrams so many are lost, so many come twice, and so many come late, behind those sent after them.
const LOST: u64 = 5;
const TWICE: u64 = 5;
const LATE: u64 = 10;

/// How late; more than messages lie apart, less than what makes a sender repeat itself.
const LATE_MS: u64 = 60;

/// The network between one phone and the server. The phone sends to `front`; the server sees another
/// address, and the messages say so, as behind a NAT that knows SIP.
pub struct Lossy {
    /// Where the phone sends to.
    pub front: SocketAddr,
    body: Arc<Body>,
    tasks: [JoinHandle<()>; 2],
}

struct Body {
    front: UdpSocket,
    back: UdpSocket,
    server: SocketAddr,
    /// The phone, once it has sent something.
    phone: Mutex<Option<SocketAddr>>,
    dice: Mutex<u64>,
    lost: AtomicU32,
    changed: AtomicU32,
}

/// Which way a datagram goes.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    ToServer,
    ToPhone,
}

/// What becomes of a datagram.
enum Fate {
    Lost,
    Passes,
    Twice,
    Late(Duration),
}

impl Lossy {
    /// Opens it before a server that sees the phone at an address of `seen_at`.
    pub async fn open(server: SocketAddr, seen_at: IpAddr, seed: u64) -> Lossy {
        let front = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a socket for the phone");
        let back = UdpSocket::bind((seen_at, 0)).await.expect("a socket for the server");
        let address = front.local_addr().expect("an address");
        let body = Arc::new(Body {
            front,
            back,
            server,
            phone: Mutex::new(None),
            dice: Mutex::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            lost: AtomicU32::new(0),
            changed: AtomicU32::new(0),
        });
        let run = |way| tokio::spawn(body.clone().carry(way));
        let tasks = [run(Way::ToServer), run(Way::ToPhone)];
        Lossy { front: address, body, tasks }
    }

    /// How many datagrams it lost, and how many it repeated or delayed.
    pub fn harm(&self) -> (u32, u32) {
        (self.body.lost.load(Ordering::Relaxed), self.body.changed.load(Ordering::Relaxed))
    }
}

impl Drop for Lossy {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Body {
    async fn carry(self: Arc<Body>, way: Way) {
        let from = if way == Way::ToServer { &self.front } else { &self.back };
        let mut buffer = vec![0; 65_535];
        loop {
            // On loopback an error tells of an earlier datagram that nobody took: it is lost as others are.
            let Ok((length, sender)) = from.recv_from(&mut buffer).await else { continue };
            if way == Way::ToServer {
                *self.phone.lock().expect("the phone") = Some(sender);
            }
            let Some(datagram) = self.readdress(&buffer[..length], way) else { continue };
            match self.throw() {
                Fate::Lost => drop(self.lost.fetch_add(1, Ordering::Relaxed)),
                Fate::Passes => self.pass(&datagram, way).await,
                Fate::Twice => {
                    self.changed.fetch_add(1, Ordering::Relaxed);
                    self.pass(&datagram, way).await;
                    self.pass(&datagram, way).await;
                }
                Fate::Late(wait) => {
                    self.changed.fetch_add(1, Ordering::Relaxed);
                    let body = self.clone();
                    tokio::spawn(async move {
                        tokio::time::sleep(wait).await;
                        body.pass(&datagram, way).await;
                    });
                }
            }
        }
    }

    /// The message with the phone's address as the receiver is to see it.
    fn readdress(&self, datagram: &[u8], way: Way) -> Option<Vec<u8>> {
        let phone = (*self.phone.lock().expect("the phone"))?.to_string();
        let seen = self.back.local_addr().ok()?.to_string();
        let text: String = datagram.iter().map(|byte| char::from(*byte)).collect();
        let text = if way == Way::ToServer { text.replace(&phone, &seen) } else { text.replace(&seen, &phone) };
        Some(text.chars().map(|one| one as u8).collect())
    }

    async fn pass(&self, datagram: &[u8], way: Way) {
        let phone = *self.phone.lock().expect("the phone");
        // What cannot be delivered is lost, here as on any network.
        let _ = match (way, phone) {
            (Way::ToServer, _) => self.back.send_to(datagram, self.server).await,
            (Way::ToPhone, Some(phone)) => self.front.send_to(datagram, phone).await,
            (Way::ToPhone, None) => Ok(0),
        };
    }

    /// Xorshift (Marsaglia 2003): the same throws for the same seed.
    fn throw(&self) -> Fate {
        let mut dice = self.dice.lock().expect("the dice");
        *dice ^= *dice << 13;
        *dice ^= *dice >> 7;
        *dice ^= *dice << 17;
        let (of_hundred, wait_ms) = ((*dice >> 16) % 100, (*dice >> 32) % LATE_MS + 1);
        if of_hundred < LOST {
            Fate::Lost
        } else if of_hundred < LOST + TWICE {
            Fate::Twice
        } else if of_hundred < LOST + TWICE + LATE {
            Fate::Late(Duration::from_millis(wait_ms))
        } else {
            Fate::Passes
        }
    }
}
