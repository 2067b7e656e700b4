//! A network that lets one SRTP suite alone through: what it leaves of each SDP's `a=crypto` lines is what a phone sees that
//! looks no further than the first.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use super::text::Text;

/// The network between one phone and the server.
pub struct Narrow {
    /// Where the phone sends to.
    pub front: SocketAddr,
    tasks: [JoinHandle<()>; 2],
}

struct Body {
    front: UdpSocket,
    back: UdpSocket,
    server: SocketAddr,
    phone: OnceLock<SocketAddr>,
    suite: &'static str,
}

impl Narrow {
    /// Opens it before a server.
    pub async fn open(server: SocketAddr, suite: &'static str) -> Narrow {
        let bind = || async { UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a socket") };
        let (front, back) = (bind().await, bind().await);
        let address = front.local_addr().expect("an address");
        let body = Arc::new(Body { front, back, server, phone: OnceLock::new(), suite });
        let tasks = [tokio::spawn(body.clone().carry_up()), tokio::spawn(body.carry_down())];
        Narrow { front: address, tasks }
    }
}

impl Drop for Narrow {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Body {
    async fn carry_up(self: Arc<Body>) {
        let (mut buffer, seen) = (vec![0; 65_535], self.back.local_addr().expect("an address").to_string());
        loop {
            let Ok((length, sender)) = self.front.recv_from(&mut buffer).await else { continue };
            let phone = self.phone.get_or_init(|| sender).to_string();
            let text = Text::read(&buffer[..length]).0.replace(&phone, &seen);
            let _ = self.back.send_to(&Text(text).to_bytes(), self.server).await;
        }
    }

    async fn carry_down(self: Arc<Body>) {
        let (mut buffer, seen) = (vec![0; 65_535], self.back.local_addr().expect("an address").to_string());
        loop {
            let Ok((length, _)) = self.back.recv_from(&mut buffer).await else { continue };
            let Some(phone) = self.phone.get() else { continue };
            let text = Text::read(&buffer[..length]).0.replace(&seen, &phone.to_string());
            let _ = self.front.send_to(&Text(self.narrow(&text)).to_bytes(), *phone).await;
        }
    }

    fn narrow(&self, text: &str) -> String {
        let Some((head, body)) = text.split_once("\r\n\r\n") else { return text.to_owned() };
        let is_kept = |line: &&str| !line.starts_with("a=crypto:") || line.contains(self.suite);
        let left: String = body.split_inclusive("\r\n").filter(is_kept).collect();
        let length = |body: &str| format!("Content-Length: {}", body.len());
        format!("{}\r\n\r\n{left}", head.replace(&length(body), &length(&left)))
    }
}
