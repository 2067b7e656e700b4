//! Whom Vigie speaks TLS to of its own accord: under which name, believed on whose word, showing which certificate.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use rustls::RootCertStore;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::certificates::{self, CertificateError, CertificateFiles};

/// Places known at once: each trunk has some, and names that change cannot fill the memory.
const PEERS_MAX: usize = 4096;

/// The authorities that the system trusts, read once.
static SYSTEM: OnceLock<Arc<RootCertStore>> = OnceLock::new();

/// What is known of the places of trunks that are reached over TLS; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct TlsPeers {
    peers: Arc<RwLock<HashMap<SocketAddr, TlsPeer>>>,
}

/// One place. One that is not known must prove its IP address by an authority that the system trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsPeer {
    /// The name that its certificate must bear: the trunk's host as configured, never what DNS made of it
    /// (RFC 5922 §4).
    pub name: String,
    /// The only authorities that are believed (PEM); without them those of the system.
    pub ca: Option<PathBuf>,
    /// What Vigie shows when it is asked.
    pub own: Option<CertificateFiles>,
}

/// Why TLS to a place cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsPeerError {
    #[error("`{0}` is no name that a certificate could bear; correct the trunk's host")]
    Name(String),
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error("{0}")]
    Handshake(std::io::Error),
}

impl TlsPeers {
    /// Remembers what is known of the place at `address`, in place of what was. Files are read when a connection is
    /// opened: a change of them holds from the next one on.
    pub fn set(&self, address: SocketAddr, peer: TlsPeer) {
        let mut peers = self.peers.write().unwrap_or_else(PoisonError::into_inner);
        if peers.len() >= PEERS_MAX && !peers.contains_key(&address) {
            // Those still in use are set again when their names are next looked up.
            peers.clear();
        }
        peers.insert(address, peer);
    }

    fn find(&self, address: SocketAddr) -> Option<TlsPeer> {
        self.peers.read().unwrap_or_else(PoisonError::into_inner).get(&address).cloned()
    }
}

/// Speaks TLS on an open connection.
pub(super) async fn secure(
    peers: &TlsPeers,
    address: SocketAddr,
    stream: TcpStream,
) -> Result<Box<TlsStream<TcpStream>>, TlsPeerError> {
    let peer = peers.find(address);
    let name = match &peer {
        Some(peer) => ServerName::try_from(peer.name.clone()).map_err(|_| TlsPeerError::Name(peer.name.clone()))?,
        None => ServerName::from(address.ip()),
    };
    let config = tokio::task::spawn_blocking(move || client_config(peer.as_ref())).await;
    let config = config.map_err(|error| TlsPeerError::Handshake(std::io::Error::other(error)))??;
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(name, stream).await.map(Box::new).map_err(TlsPeerError::Handshake)
}

fn client_config(peer: Option<&TlsPeer>) -> Result<rustls::ClientConfig, CertificateError> {
    let roots = match peer.and_then(|peer| peer.ca.as_ref()) {
        Some(path) => Arc::new(certificates::read_authorities(path)?),
        None => SYSTEM.get_or_init(system_authorities).clone(),
    };
    certificates::client(roots, peer.and_then(|peer| peer.own.as_ref()))
}

fn system_authorities() -> Arc<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "reading the system's authorities (CA certificates) failed in part");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        tracing::error!("the system has no authorities (CA certificates): install them, or give each TLS trunk a `ca`");
    }
    Arc::new(roots)
}
