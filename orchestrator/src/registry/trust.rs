//! Whom a registry's certificate may be of: the system's authorities, and those of a file.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::error::RegistryError;

/// Returns how TLS is spoken; certificates are always verified.
pub(super) fn config(authorities: Option<&Path>) -> Result<ClientConfig, RegistryError> {
    let mut roots = RootCertStore::empty();
    // Of hundreds that a system trusts some cannot be read by everybody.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = authorities {
        let failed =
            |why: String| RegistryError::Certificates { path: path.to_owned(), source: why.into() };
        let read =
            CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let read = read.map_err(|error| failed(error.to_string()))?;
        if read.is_empty() {
            return Err(failed("it holds no certificate".to_owned()));
        }
        for certificate in read {
            roots.add(certificate).map_err(|error| failed(error.to_string()))?;
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let config = config
        .with_safe_default_protocol_versions()
        .map_err(|error| RegistryError::Prepare(std::io::Error::other(error)))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
