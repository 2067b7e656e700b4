//! Certificates, their keys and the authorities that are trusted, read from PEM files and made ready for TLS.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::validity::validity_of;
use crate::model::Utc;

/// The largest PEM file read, in bytes: the whole list of a system's authorities has a quarter of it.
const PEM_BYTES_MAX: u64 = 1 << 20;

/// A certificate with its key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CertificateFiles {
    /// The certificate, and behind it those that lead to an authority (PEM).
    pub certificate: PathBuf,
    /// Its private key (PEM: PKCS #8, PKCS #1 or SEC 1), without a passphrase.
    pub key: PathBuf,
}

/// How a listener proves itself, and whom it asks to do the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// What it shows.
    pub own: CertificateFiles,
    /// Authorities (PEM) of which a client must show a certificate; `None` asks for none.
    pub client_ca: Option<PathBuf>,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The file is not there, or may not be read.
    #[error("cannot read {}: {source}. It must exist and be readable for the user that Vigie runs as", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another kind of file.
    #[error("{} holds no {wanted} in PEM form{why}. It must have a line `-----BEGIN …`; convert it with openssl", .path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        wanted: &'static str,
        /// What was found instead, as `: …`, or nothing.
        why: String,
    },
    /// Key and certificate are not of one another, or of a kind that TLS does not know.
    #[error(
        "the certificate {} cannot be used with the key {}: {source}. Take the key that the certificate was made with",
        .files.certificate.display(), .files.key.display()
    )]
    Pair {
        /// Both files.
        files: CertificateFiles,
        /// What TLS said.
        source: rustls::Error,
    },
    /// The authorities cannot be used.
    #[error("the authorities in {} cannot be used: {why}. Each must be a certificate of an authority (CA)", .path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What TLS said.
        why: String,
    },
}

impl CertificateFiles {
    fn read(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), CertificateError> {
        let chain = read_certificates(&self.certificate)?;
        let pem = read_file(&self.key)?;
        let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| no_pem(&self.key, "private key", &error))?;
        // What does not belong together is told here, and not to the first phone.
        CertifiedKey::from_der(chain.clone(), key.clone_key(), &provider()).map_err(|source| self.unfit(source))?;
        Ok((chain, key))
    }

    /// From when until when the certificate that is shown holds; nothing when that cannot be read.
    ///
    /// # Errors
    /// [`CertificateError`] names the file, and what to do.
    pub fn validity(&self) -> Result<Option<(Utc, Utc)>, CertificateError> {
        let chain = read_certificates(&self.certificate)?;
        Ok(chain.first().and_then(|own| validity_of(own)))
    }

    fn unfit(&self, source: rustls::Error) -> CertificateError {
        CertificateError::Pair { files: self.clone(), source }
    }
}

impl TlsSettings {
    /// Every file that a change of is looked for.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        [&self.own.certificate, &self.own.key].into_iter().chain(&self.client_ca).map(PathBuf::as_path)
    }

    /// Reads the files: what a listener speaks TLS with.
    ///
    /// # Errors
    /// [`CertificateError`] names the file, and what to do.
    pub fn server(&self) -> Result<Arc<ServerConfig>, CertificateError> {
        let (chain, key) = self.own.read()?;
        let versions = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let builder = versions.map_err(|source| self.own.unfit(source))?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let roots = Arc::new(read_authorities(path)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build();
                let unfit = |error: rustls::server::VerifierBuilderError| no_authorities(path, error.to_string());
                builder.with_client_cert_verifier(verifier.map_err(unfit)?)
            }
        };
        Ok(Arc::new(builder.with_single_cert(chain, key).map_err(|source| self.own.unfit(source))?))
    }
}

/// Reads what a connection to a server needs: whom to believe, and what to show when we are asked.
///
/// # Errors
/// [`CertificateError`] names the file, and what to do.
pub fn client(roots: Arc<RootCertStore>, own: Option<&CertificateFiles>) -> Result<ClientConfig, CertificateError> {
    let versions = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let trust = |source: rustls::Error| no_authorities(Path::new("the system"), source.to_string());
    let builder = versions.map_err(trust)?.with_root_certificates(roots);
    match own {
        None => Ok(builder.with_no_client_auth()),
        Some(files) => {
            let (chain, key) = files.read()?;
            builder.with_client_auth_cert(chain, key).map_err(|source| files.unfit(source))
        }
    }
}

/// Reads a file of authorities.
///
/// # Errors
/// [`CertificateError`] when there is none in it.
pub fn read_authorities(path: &Path) -> Result<RootCertStore, CertificateError> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(path)? {
        roots.add(certificate).map_err(|error| no_authorities(path, error.to_string()))?;
    }
    Ok(roots)
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let pem = read_file(path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match all {
        Ok(chain) if chain.is_empty() => {
            Err(CertificateError::Pem { path: path.to_owned(), wanted: "certificate", why: String::new() })
        }
        Ok(chain) => Ok(chain),
        Err(error) => Err(no_pem(path, "certificate", &error)),
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, CertificateError> {
    let unreadable = |source| CertificateError::Read { path: path.to_owned(), source };
    if fs::metadata(path).map_err(unreadable)?.len() > PEM_BYTES_MAX {
        return Err(unreadable(std::io::Error::from(std::io::ErrorKind::FileTooLarge)));
    }
    fs::read(path).map_err(unreadable)
}

fn no_pem(path: &Path, wanted: &'static str, error: &rustls_pki_types::pem::Error) -> CertificateError {
    let why = match error {
        rustls_pki_types::pem::Error::NoItemsFound => String::new(),
        error => format!(": {error}"),
    };
    CertificateError::Pem { path: path.to_owned(), wanted, why }
}

fn no_authorities(path: &Path, why: String) -> CertificateError {
    CertificateError::Authorities { path: path.to_owned(), why }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, text).expect("written");
        path
    }

    #[test]
    fn what_is_no_certificate_is_told_with_its_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let one = rcgen::generate_simple_self_signed(["vigie.test".to_owned()]).expect("made");
        let other = rcgen::generate_simple_self_signed(["vigie.test".to_owned()]).expect("made");
        let good = write(folder.path(), "good.pem", &one.cert.pem());
        let good_key = write(folder.path(), "good.key", &one.signing_key.serialize_pem());
        let other_key = write(folder.path(), "other.key", &other.signing_key.serialize_pem());
        let noise = write(folder.path(), "noise.pem", "nothing of the kind\n");
        let absent = folder.path().join("absent.pem");
        let server = |certificate: &Path, key: &Path, client_ca: Option<&Path>| {
            let own = CertificateFiles { certificate: certificate.to_owned(), key: key.to_owned() };
            TlsSettings { own, client_ca: client_ca.map(Path::to_owned) }.server().map_err(|error| error.to_string())
        };
        assert!(server(&good, &good_key, Some(&good)).is_ok());
        for (outcome, said) in [
            (server(&absent, &good_key, None), "cannot read"),
            (server(&noise, &good_key, None), "noise.pem holds no certificate"),
            (server(&good, &noise, None), "noise.pem holds no private key"),
            (server(&good, &good, None), "good.pem holds no private key"),
            (server(&good, &other_key, None), "cannot be used with the key"),
            (server(&good, &good_key, Some(&noise)), "noise.pem holds no certificate"),
        ] {
            let error = outcome.expect_err("unfit");
            assert!(error.contains(said), "{error}");
        }
    }
}
