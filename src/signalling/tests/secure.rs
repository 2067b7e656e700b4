//! TLS both ways: who is believed, who must show a certificate, and a certificate that is changed while it is shown.

use std::fs;
use std::path::{Path as FilePath, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls_pki_types::ServerName;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;
use crate::config::certificates::{self, CertificateFiles, TlsSettings};
use crate::signalling::TlsPeer;
use crate::signalling::identity::{Identity, Looks};

/// An authority of the test's own, and a folder for what it signs.
struct Authority {
    folder: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("signed").pem();
        Authority { folder: tempfile::tempdir().expect("a folder"), issuer: Issuer::new(params, key), pem }
    }

    fn file(&self) -> PathBuf {
        let path = self.folder.path().join("ca.pem");
        fs::write(&path, &self.pem).expect("written");
        path
    }

    /// A certificate for a name, in files of its own.
    fn issue(&self, file: &str, name: &str) -> CertificateFiles {
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed").pem();
        let path = |end: &str| self.folder.path().join(format!("{file}.{end}"));
        let files = CertificateFiles { certificate: path("pem"), key: path("key") };
        fs::write(&files.key, key.serialize_pem()).expect("written");
        fs::write(&files.certificate, certificate).expect("written");
        files
    }

    fn connector(&self, own: Option<&CertificateFiles>) -> TlsConnector {
        let roots = Arc::new(certificates::read_authorities(&self.file()).expect("an authority"));
        TlsConnector::from(Arc::new(certificates::client(roots, own).expect("a client")))
    }
}

fn start(own: CertificateFiles, client_ca: Option<PathBuf>) -> Running {
    let mut secure = listener(Transport::Tls);
    secure.tls = Some(TlsSettings { own, client_ca });
    Running::start(&settings(vec![secure]), &[])
}

async fn dial(running: &Running, connector: TlsConnector) -> std::io::Result<TlsStream<TcpStream>> {
    let io = TcpStream::connect(running.address()).await.expect("connected");
    connector.connect(ServerName::try_from("sip.vigie.test").expect("a name"), io).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_speaks_over_tls_and_one_that_trusts_another_authority_does_not() {
    let authority = Authority::new();
    let running = start(authority.issue("own", "sip.vigie.test"), None);
    assert!(dial(&running, Authority::new().connector(None)).await.is_err());
    let mut phone = dial(&running, authority.connector(None)).await.expect("trusted");
    for byte in OPTIONS.as_bytes() {
        phone.write_all(&[*byte]).await.expect("written");
    }
    phone.flush().await.expect("flushed");
    let (path, bytes) = running.received().await;
    assert_eq!((path.transport, &bytes[..]), (Transport::Tls, OPTIONS.as_bytes()));
    running.sender.send(path, &Bytes::from_static(b"SIP/2.0 200 OK\r\n\r\n"));
    assert_eq!(read_some(&mut phone, 18).await, b"SIP/2.0 200 OK\r\n\r\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_must_show_a_certificate_of_the_right_authority_where_one_is_wanted() {
    let (authority, carriers) = (Authority::new(), Authority::new());
    let running = start(authority.issue("own", "sip.vigie.test"), Some(carriers.file()));
    for own in [None, Some(authority.issue("wrong", "carrier.test"))] {
        // TLS 1.3 tells the client of its refusal with the first answer only.
        let refused = match dial(&running, authority.connector(own.as_ref())).await {
            Err(_) => true,
            Ok(mut phone) => {
                let _ = phone.write_all(OPTIONS.as_bytes()).await;
                phone.read(&mut [0; 9]).await.map_or(true, |read| read == 0)
            }
        };
        assert!(refused, "{own:?}");
    }
    assert!(running.is_silent());
    let right = carriers.issue("right", "carrier.test");
    let mut carrier = dial(&running, authority.connector(Some(&right))).await.expect("trusted");
    carrier.write_all(OPTIONS.as_bytes()).await.expect("written");
    running.received().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_certificate_is_shown_without_a_restart_and_open_connections_go_on() {
    let (first, second) = (Authority::new(), Authority::new());
    let files = first.issue("own", "sip.vigie.test");
    let running = start(files.clone(), None);
    let mut before = dial(&running, first.connector(None)).await.expect("trusted");
    let replace = |new: &CertificateFiles| {
        fs::copy(&new.key, &files.key).expect("copied");
        fs::copy(&new.certificate, &files.certificate).expect("copied");
    };
    let mut shown = running.identities[0].shown();
    replace(&second.issue("new", "sip.vigie.test"));
    let changed = tokio::time::timeout(PATIENCE, shown.changed());
    changed.await.expect("read again in time").expect("a listener");
    dial(&running, second.connector(None)).await.expect("trusted");
    assert!(dial(&running, first.connector(None)).await.is_err());
    before.write_all(OPTIONS.as_bytes()).await.expect("an open connection goes on");
    running.received().await;
}

#[tokio::test]
async fn a_certificate_is_read_when_it_stays_the_same_for_two_looks_and_a_bad_one_is_never_shown() {
    let (first, second) = (Authority::new(), Authority::new());
    let files = first.issue("own", "sip.vigie.test");
    let settings = TlsSettings { own: files.clone(), client_ca: None };
    let identity = Arc::new(Identity::read(&settings).expect("readable"));
    let shown = || Arc::as_ptr(identity.acceptor().config());
    let (mut looks, original) = (Looks::of(&identity), shown());
    fs::write(&files.certificate, "nothing of the kind").expect("written");
    for _ in 0..4 {
        looks.look(&identity).await;
        assert_eq!(shown(), original, "what cannot be used leaves things as they were");
    }
    let new = second.issue("new", "sip.vigie.test");
    fs::copy(&new.key, &files.key).expect("copied");
    looks.look(&identity).await;
    fs::copy(&new.certificate, &files.certificate).expect("copied");
    looks.look(&identity).await;
    assert_eq!(shown(), original, "never half written, nor a new certificate with the old key");
    looks.look(&identity).await;
    assert_ne!(shown(), original);
}

/// A carrier that takes TLS connections, and wants a certificate if `clients` says whose.
async fn carrier(own: &CertificateFiles, clients: Option<PathBuf>) -> (TcpListener, TlsAcceptor) {
    let server = TlsSettings { own: own.clone(), client_ca: clients }.server().expect("a server");
    (TcpListener::bind("127.0.0.1:0").await.expect("a port"), TlsAcceptor::from(server))
}

fn vouched(name: &str, ca: &FilePath, own: Option<CertificateFiles>) -> TlsPeer {
    TlsPeer { name: name.into(), ca: Some(ca.to_owned()), own }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carrier_is_believed_only_under_its_name_and_by_its_authority() {
    let (authority, ours) = (Authority::new(), Authority::new());
    let running = start(ours.issue("own", "sip.vigie.test"), None);
    let (socket, acceptor) = carrier(&authority.issue("carrier", "sip.carrier.test"), Some(ours.file())).await;
    let peer = socket.local_addr().expect("its address");
    let path = Path { listener: 0, transport: Transport::Tls, peer };
    let serve = tokio::spawn(async move {
        loop {
            let (io, _) = socket.accept().await.expect("a connection");
            if let Ok(mut io) = acceptor.accept(io).await {
                return read_some(&mut io, OPTIONS.len()).await;
            }
        }
    });
    let shown = ours.issue("shown", "vigie.test");
    for wrong in [
        None,
        Some(vouched("sip.other.test", &authority.file(), Some(shown.clone()))),
        Some(vouched("sip.carrier.test", &ours.file(), Some(shown.clone()))),
        Some(vouched("not a name", &authority.file(), Some(shown.clone()))),
    ] {
        if let Some(wrong) = wrong {
            running.sender.tls_peers().set(peer, wrong);
        }
        running.sender.send(path, &Bytes::from_static(OPTIONS.as_bytes()));
        loop {
            let (cut, why) = running.cut().await;
            assert_eq!(cut, path);
            if why.contains("TLS failed") {
                break;
            }
            // It may have failed before the request was queued on it.
            assert!(why.contains("lost while it was opened"), "{why}");
        }
    }
    running.sender.tls_peers().set(peer, vouched("sip.carrier.test", &authority.file(), Some(shown)));
    running.sender.send(path, &Bytes::from_static(OPTIONS.as_bytes()));
    let read = tokio::time::timeout(PATIENCE, serve).await.expect("in time").expect("served");
    assert_eq!(read, OPTIONS.as_bytes());
}
