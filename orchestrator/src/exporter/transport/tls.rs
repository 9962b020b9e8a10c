//! Whom a connection trusts, and who it says it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, PrivateKeyDer, ServerName, pem};
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Protocol;

/// Files of certificates and keys, all PEM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust {
    /// Whom to trust; empty: whom the system trusts.
    pub authorities: Vec<PathBuf>,
    /// Our own certificate, and its key.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// Why no connection can be made safe.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file holds no certificates or key.
    #[error("cannot read {what} from {}", path.display())]
    File {
        /// What it should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: pem::Error,
    },
    /// A file holds no certificate.
    #[error("{} holds no certificate", .0.display())]
    Empty(PathBuf),
    /// A certificate is none that can be trusted.
    #[error("a certificate of {} cannot be used", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: rustls::Error,
    },
    /// The system names nobody.
    #[error("this system has no certificates of authorities")]
    NoAuthorities,
    /// Certificate and key do not belong together.
    #[error("the client's certificate and its key do not fit")]
    Client(#[source] rustls::Error),
    /// The host's name is none.
    #[error("no certificate can be for the host of this URL")]
    Host(#[source] InvalidDnsNameError),
}

/// See the module.
#[derive(Clone)]
pub(crate) struct Tls(TlsConnector);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// One cannot be read, or what they hold does not fit.
    pub(crate) fn new(trust: &Trust, protocol: Protocol) -> Result<Self, TlsError> {
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let config = config.with_safe_default_protocol_versions().map_err(TlsError::Client)?;
        let config = config.with_root_certificates(roots(&trust.authorities)?);
        let mut config = match &trust.client {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => {
                let read = PrivateKeyDer::from_pem_file(key);
                let failed = |source| TlsError::File { what: "a key", path: key.clone(), source };
                let (chain, key) = (certificates(certificate)?, read.map_err(failed)?);
                config.with_client_auth_cert(chain, key).map_err(TlsError::Client)?
            }
        };
        config.alpn_protocols = vec![match protocol {
            Protocol::Grpc => b"h2".to_vec(),
            Protocol::Http => b"http/1.1".to_vec(),
        }];
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Makes a connection safe.
    ///
    /// # Errors
    /// The other side is not who it should be, or breaks off.
    pub(super) async fn wrap(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.to_owned()).map_err(TlsError::Host);
        let name = name.map_err(std::io::Error::other)?;
        self.0.connect(name, stream).await
    }
}

fn roots(files: &[PathBuf]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for path in files {
        for certificate in certificates(path)? {
            let added = roots.add(certificate);
            let failed = |source| TlsError::Certificate { path: path.clone(), source };
            added.map_err(failed)?;
        }
    }
    if files.is_empty() {
        // Of hundreds that a system trusts some cannot be read by everybody.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    if roots.is_empty() { Err(TlsError::NoAuthorities) } else { Ok(roots) }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |source| TlsError::File { what: "certificates", path: path.to_owned(), source };
    let read = CertificateDer::pem_file_iter(path).map_err(failed)?;
    let read: Vec<_> = read.collect::<Result<_, _>>().map_err(failed)?;
    if read.is_empty() { Err(TlsError::Empty(path.to_owned())) } else { Ok(read) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_file_that_holds_no_certificate_is_named() {
        let folder = Scratch::new();
        let path = folder.path().join("ca.pem");
        crate::store::atomic::write(&path, b"nothing of the kind").unwrap();
        for (files, said) in [
            (vec![path.clone()], "holds no certificate"),
            (vec![folder.path().join("absent.pem")], "cannot read certificates from"),
        ] {
            let trust = Trust { authorities: files, client: None };
            let error = Tls::new(&trust, Protocol::Grpc).unwrap_err();
            assert!(error.to_string().contains(said), "{error}");
        }
    }
}
