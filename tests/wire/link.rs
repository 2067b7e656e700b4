//! What a test phone's SIP goes over: datagrams, or one connection of the transport that is tested.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::sync::{Mutex, mpsc};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{self, Message};

/// A phone's way to the server.
pub struct Link {
    /// Where it is.
    pub local: SocketAddr,
    /// As Via says it: `UDP`, `TCP`…
    pub transport: &'static str,
    way: Way,
}

enum Way {
    Datagrams(UdpSocket),
    Connection {
        server: SocketAddr,
        out: mpsc::UnboundedSender<Vec<u8>>,
        incoming: Mutex<mpsc::UnboundedReceiver<Vec<u8>>>,
    },
}

impl Link {
    /// Datagrams.
    pub async fn udp(address: IpAddr) -> Link {
        Link::udp_at((address, 0).into()).await
    }

    /// Datagrams, at this port.
    pub async fn udp_at(place: SocketAddr) -> Link {
        let socket = UdpSocket::bind(place).await.expect("the phone's SIP socket");
        Link { local: socket.local_addr().expect("an address"), transport: "UDP", way: Way::Datagrams(socket) }
    }

    /// A TCP connection.
    pub async fn tcp(server: SocketAddr) -> Link {
        let io = TcpStream::connect(server).await.expect("connected");
        Link::over("TCP", server, io.local_addr().expect("an address"), |out, inside| stream(io, out, inside))
    }

    /// A TCP connection from an address of this machine.
    pub async fn tcp_from(source: IpAddr, server: SocketAddr) -> Link {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((source, 0).into()).expect("an address of this machine");
        let io = socket.connect(server).await.expect("connected");
        Link::over("TCP", server, io.local_addr().expect("an address"), |out, inside| stream(io, out, inside))
    }

    /// A TLS connection to a server that must show a certificate of `ca` for `localhost`.
    pub async fn tls(server: SocketAddr, ca: &Path) -> Result<Link, std::io::Error> {
        let io = TcpStream::connect(server).await.expect("connected");
        let local = io.local_addr().expect("an address");
        let io = secure(io, ca).await?;
        Ok(Link::over("TLS", server, local, |out, inside| stream(io, out, inside)))
    }

    /// A WebSocket; secure with a `ca`.
    pub async fn websocket(
        server: SocketAddr,
        ca: Option<&Path>,
        headers: &[(&'static str, &str)],
    ) -> Result<Link, tungstenite::Error> {
        let io = TcpStream::connect(server).await.expect("connected");
        let local = io.local_addr().expect("an address");
        match ca {
            None => Link::upgrade("WS", (server, local), io, headers).await,
            Some(ca) => Link::upgrade("WSS", (server, local), secure(io, ca).await?, headers).await,
        }
    }

    async fn upgrade<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        transport: &'static str,
        (server, local): (SocketAddr, SocketAddr),
        io: S,
        headers: &[(&'static str, &str)],
    ) -> Result<Link, tungstenite::Error> {
        let mut request = format!("ws://{server}/").into_client_request()?;
        for (name, value) in headers {
            request.headers_mut().insert(*name, HeaderValue::from_str(value).expect("a value"));
        }
        let (socket, _) = tokio_tungstenite::client_async(request, io).await?;
        Ok(Link::over(transport, server, local, |mut out, inside| async move {
            let (mut sink, mut source) = socket.split();
            loop {
                tokio::select! {
                    bytes = out.recv() => match bytes {
                        Some(bytes) => sink.send(Message::binary(bytes)).await.expect("sent"),
                        None => return,
                    },
                    next = source.next() => match next {
                        Some(Ok(frame @ (Message::Text(_) | Message::Binary(_)))) => {
                            let _ = inside.send(frame.into_data().to_vec());
                        }
                        Some(Ok(_)) => {}
                        Some(Err(_)) | None => return,
                    },
                }
            }
        }))
    }

    fn over<F: Future<Output = ()> + Send + 'static>(
        transport: &'static str,
        server: SocketAddr,
        local: SocketAddr,
        run: impl FnOnce(mpsc::UnboundedReceiver<Vec<u8>>, mpsc::UnboundedSender<Vec<u8>>) -> F,
    ) -> Link {
        let (out, written) = mpsc::unbounded_channel();
        let (inside, incoming) = mpsc::unbounded_channel();
        tokio::spawn(run(written, inside));
        Link { local, transport, way: Way::Connection { server, out, incoming: Mutex::new(incoming) } }
    }

    /// Sends a message; a connection has but one far end.
    pub async fn send(&self, to: SocketAddr, bytes: Vec<u8>) {
        match &self.way {
            Way::Datagrams(socket) => {
                socket.send_to(&bytes, to).await.expect("sent");
            }
            Way::Connection { out, .. } => out.send(bytes).expect("the connection is open"),
        }
    }

    /// The next message and its source; `None` when the connection is closed.
    pub async fn receive(&self) -> Option<(Vec<u8>, SocketAddr)> {
        match &self.way {
            Way::Datagrams(socket) => {
                let mut buffer = vec![0; 65_535];
                let (length, from) = socket.recv_from(&mut buffer).await.ok()?;
                buffer.truncate(length);
                Some((buffer, from))
            }
            Way::Connection { server, incoming, .. } => Some((incoming.lock().await.recv().await?, *server)),
        }
    }

    /// What is written for UDP as this transport has it: Via, and the transport of our Contact.
    pub fn adapt(&self, text: &str) -> String {
        if self.transport == "UDP" {
            return text.to_owned();
        }
        let (head, body) = text.split_once("\r\n\r\n").expect("a message");
        let parameter = format!(";transport={}>", self.transport.to_ascii_lowercase());
        let lines = head.split("\r\n").map(|line| match line.strip_suffix('>') {
            Some(contact) if line.starts_with("Contact: ") && !line.contains(";transport=") => {
                format!("{contact}{parameter}")
            }
            Some(_) | None => line.replace("SIP/2.0/UDP", &format!("SIP/2.0/{}", self.transport)),
        });
        format!("{}\r\n\r\n{body}", lines.collect::<Vec<_>>().join("\r\n"))
    }
}

async fn secure(io: TcpStream, ca: &Path) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).expect("a certificate")).expect("an authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.expect("versions").with_root_certificates(roots).with_no_client_auth();
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").expect("a name"), io).await
}

/// Carries messages over a stream; where each ends its Content-Length says.
async fn stream<S: AsyncRead + AsyncWrite>(
    io: S,
    mut out: mpsc::UnboundedReceiver<Vec<u8>>,
    inside: mpsc::UnboundedSender<Vec<u8>>,
) {
    let (mut reader, mut writer) = tokio::io::split(io);
    let mut kept = Vec::new();
    loop {
        let mut piece = [0; 4096];
        tokio::select! {
            bytes = out.recv() => {
                let Some(bytes) = bytes else { return };
                writer.write_all(&bytes).await.expect("written");
                writer.flush().await.expect("flushed");
            }
            read = reader.read(&mut piece) => match read {
                Ok(0) | Err(_) => return,
                Ok(length) => kept.extend_from_slice(&piece[..length]),
            },
        }
        while let Some(length) = length_of_first(&kept) {
            let _ = inside.send(kept.drain(..length).collect());
        }
    }
}

fn length_of_first(kept: &[u8]) -> Option<usize> {
    let end = kept.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&kept[..end]).to_ascii_lowercase();
    let body: usize = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok())?;
    (kept.len() >= end + body).then_some(end + body)
}
