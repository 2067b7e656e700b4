//! A bad network for RTP on loopback: it loses, repeats, delays and so reorders, always in the same way for one seed.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// Of a hundred packets so many are lost, and so many come twice.
const LOST: u64 = 5;
const TWICE: u64 = 3;
/// Each packet comes so much later, at most: 50 ms, which is two and a half packets.
const JITTER_MICROS: u64 = 50_000;

/// The network between one phone's voice and the server.
pub struct Rough {
    /// Where the phone sends to.
    pub front: SocketAddr,
    /// Where the server sends to, and sees the phone.
    pub back: SocketAddr,
    body: Arc<Body>,
    tasks: [JoinHandle<()>; 2],
}

struct Body {
    front: UdpSocket,
    back: UdpSocket,
    phone: SocketAddr,
    server: Mutex<Option<SocketAddr>>,
    dice: Mutex<u64>,
    lost: AtomicU32,
    overtaken: AtomicU32,
    twice: AtomicU32,
}

impl Rough {
    /// Opens it before a phone whose voice is there.
    pub async fn open(phone: SocketAddr, seed: u64) -> Rough {
        let bind = || async { UdpSocket::bind((phone.ip(), 0)).await.expect("a socket of the bad network") };
        let (front, back) = (bind().await, bind().await);
        let addresses = [&front, &back].map(|socket| socket.local_addr().expect("an address"));
        let body = Arc::new(Body {
            front,
            back,
            phone,
            server: Mutex::new(None),
            dice: Mutex::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            lost: AtomicU32::new(0),
            overtaken: AtomicU32::new(0),
            twice: AtomicU32::new(0),
        });
        let run = |is_up| tokio::spawn(body.clone().carry(is_up));
        let tasks = [run(true), run(false)];
        Rough { front: addresses[0], back: addresses[1], body, tasks }
    }

    /// The server's socket for this voice.
    pub fn aim(&self, server: SocketAddr) {
        *self.body.server.lock().expect("the server") = Some(server);
    }

    /// How many packets it lost, let be overtaken, and repeated.
    pub fn harm(&self) -> [u32; 3] {
        [&self.body.lost, &self.body.overtaken, &self.body.twice].map(|count| count.load(Ordering::Relaxed))
    }
}

impl Drop for Rough {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Body {
    /// Carries one way: up to the server, or down from it.
    async fn carry(self: Arc<Body>, is_up: bool) {
        let from = if is_up { &self.front } else { &self.back };
        let mut buffer = [0; 2048];
        let last = Arc::new(AtomicU32::new(0));
        let mut number = 0;
        loop {
            // On loopback an error tells of an earlier packet that nobody took: it is lost as others are.
            let Ok((length, _)) = from.recv_from(&mut buffer).await else { continue };
            let to = if is_up { *self.server.lock().expect("the server") } else { Some(self.phone) };
            let Some(to) = to else { continue };
            number += 1;
            let (fate, wait) = self.throw();
            if fate < LOST {
                self.lost.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let copies = if fate < LOST + TWICE { 2 } else { 1 };
            self.twice.fetch_add(copies - 1, Ordering::Relaxed);
            let (body, last, packet) = (self.clone(), last.clone(), buffer[..length].to_vec());
            tokio::spawn(async move {
                tokio::time::sleep(wait).await;
                if last.fetch_max(number, Ordering::Relaxed) > number {
                    body.overtaken.fetch_add(1, Ordering::Relaxed);
                }
                let over = if is_up { &body.back } else { &body.front };
                for _ in 0..copies {
                    // What cannot be delivered is lost, here as on any network.
                    let _ = over.send_to(&packet, to).await;
                }
            });
        }
    }

    /// Xorshift (Marsaglia 2003): a number below a hundred, and a delay.
    fn throw(&self) -> (u64, Duration) {
        let mut dice = self.dice.lock().expect("the dice");
        *dice ^= *dice << 13;
        *dice ^= *dice >> 7;
        *dice ^= *dice << 17;
        ((*dice >> 16) % 100, Duration::from_micros((*dice >> 32) % JITTER_MICROS))
    }
}
