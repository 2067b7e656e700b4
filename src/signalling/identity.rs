//! What a TLS listener shows of itself: read from its files, and again when they change.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::sync::watch;
use tokio::time::{Duration, sleep};
use tokio_rustls::TlsAcceptor;

use super::station::Station;
use crate::config::certificates::{CertificateError, TlsSettings};

/// How often the files are looked at. They are read when they have been the same at two looks: never half written,
/// nor a new certificate with the old key.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// One listener's certificate, as it is now.
pub(super) struct Identity {
    settings: TlsSettings,
    current: watch::Sender<Arc<ServerConfig>>,
}

/// What tells one edition of the files from another: of each, when it was written, how long it is, and which file.
type Edition = Vec<Option<(i64, i64, u64, u64)>>;

impl Identity {
    /// Reads the files.
    pub(super) fn read(settings: &TlsSettings) -> Result<Identity, CertificateError> {
        Ok(Identity { current: watch::Sender::new(settings.server()?), settings: settings.clone() })
    }

    /// What a new connection is greeted with.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.borrow().clone())
    }

    /// Sees every change of what is shown.
    #[cfg(test)]
    pub(super) fn shown(&self) -> watch::Receiver<Arc<ServerConfig>> {
        self.current.subscribe()
    }

    fn edition(&self) -> Edition {
        let stamp = |path| {
            let file = fs::metadata(path).ok()?;
            Some((file.mtime(), file.mtime_nsec(), file.len(), file.ino()))
        };
        self.settings.files().map(stamp).collect()
    }
}

/// What the looks at the files have shown so far.
pub(super) struct Looks {
    /// What is shown now was read from this edition.
    read: Edition,
    /// The edition at the last look.
    seen: Edition,
}

impl Looks {
    /// The files as they are now have been read.
    pub(super) fn of(identity: &Identity) -> Looks {
        let read = identity.edition();
        Looks { seen: read.clone(), read }
    }

    /// Looks once more, and reads the files when they have changed and then stayed the same; what cannot be used
    /// leaves things as they were.
    pub(super) async fn look(&mut self, identity: &Arc<Identity>) {
        let now = identity.edition();
        if now != self.read && now == self.seen {
            self.read.clone_from(&now);
            read_again(identity).await;
        }
        self.seen = now;
    }
}

/// Looks at the files until everything ends.
pub(super) async fn watch(station: Arc<Station>, identity: Arc<Identity>) {
    let mut looks = Looks::of(&identity);
    loop {
        tokio::select! {
            () = sleep(LOOK_EVERY) => {}
            () = station.stopped() => return,
        }
        looks.look(&identity).await;
    }
}

async fn read_again(identity: &Arc<Identity>) {
    let of = identity.clone();
    // Files are read where that may block.
    let config = tokio::task::spawn_blocking(move || of.settings.server()).await;
    let certificate = identity.settings.own.certificate.display();
    match config {
        Ok(Ok(config)) => {
            identity.current.send_replace(config);
            tracing::info!(%certificate, "the certificate was read again; new connections are shown it");
        }
        Ok(Err(error)) => {
            metrics::counter!("vigie_tls_reload_failed_total").increment(1);
            tracing::error!(%certificate, %error, "the changed certificate cannot be used; the former one is still shown");
        }
        Err(error) => tracing::error!(%certificate, %error, "reading the changed certificate failed"),
    }
}
