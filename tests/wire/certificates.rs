//! Authorities and certificates made for one scenario.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// An authority that signs for one scenario.
pub struct Authority {
    /// Its certificate.
    pub file: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    folder: PathBuf,
}

/// A certificate and its key, as PEM files.
pub struct Paper {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Authority {
    /// A new one, its files in `folder`.
    pub fn new(folder: &Path, name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("an authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("an authority's certificate");
        let file = folder.join(format!("{name}.pem"));
        std::fs::write(&file, certificate.pem()).expect("the authority's file");
        Authority { file, issuer: Issuer::new(params, key), folder: folder.into() }
    }

    /// A certificate for `127.0.0.1`, to serve or to call with.
    pub fn signs(&self, name: &str) -> Paper {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a certificate");
        params.distinguished_name.push(DnType::CommonName, "127.0.0.1");
        let key = KeyPair::generate().expect("a key");
        let signed = params.signed_by(&key, &self.issuer).expect("a signed certificate");
        let paper = Paper {
            certificate: self.folder.join(format!("{name}.crt")),
            key: self.folder.join(format!("{name}.key")),
        };
        std::fs::write(&paper.certificate, signed.pem()).expect("the certificate's file");
        std::fs::write(&paper.key, key.serialize_pem()).expect("the key's file");
        paper
    }
}
