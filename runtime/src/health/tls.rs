//! TLS around a request: spoken, and nobody's name looked at.
//!
//! What is asked is whether a service answers, from inside the machine that it runs in; its
//! certificate is for those who come from elsewhere, and may be of any name, age or signer.

use std::io::{ErrorKind, Read as _, Write as _};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme};

/// A conversation of which the other end's bytes are put in, and ours taken out.
#[derive(Debug)]
pub(super) struct Tls {
    connection: ClientConnection,
}

impl Tls {
    /// Begins to speak to a host; a name that none can have is left unsaid.
    pub(super) fn begin(host: &str) -> Result<Self, Error> {
        let provider = Arc::new(ring::default_provider());
        let anyone = Arc::new(Anyone(Arc::clone(&provider)));
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(anyone)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = Resumption::disabled();
        let name = ServerName::try_from(host.to_owned());
        config.enable_sni = name.is_ok();
        let name = match name {
            Ok(name) => name,
            Err(_) => ServerName::IpAddress(std::net::Ipv4Addr::LOCALHOST.into()),
        };
        Ok(Self { connection: ClientConnection::new(Arc::new(config), name)? })
    }

    /// Says this, as soon as there is somebody to say it to.
    pub(super) fn say(&mut self, plain: &[u8]) -> Result<(), Error> {
        let said = self.connection.writer().write_all(plain);
        said.map_err(|error| Error::General(error.to_string()))
    }

    /// Takes what the other end sent; returns what it said.
    ///
    /// # Errors
    /// It does not speak TLS, or breaks it off.
    pub(super) fn hear(&mut self, mut bytes: &[u8]) -> Result<Vec<u8>, Error> {
        let mut plain = Vec::new();
        while !bytes.is_empty() {
            let taken = self.connection.read_tls(&mut bytes);
            let taken = taken.map_err(|error| Error::General(error.to_string()))?;
            self.connection.process_new_packets()?;
            // What is there is taken, so that there is room for the rest; the end is the session's.
            match self.connection.reader().read_to_end(&mut plain) {
                Err(error) if error.kind() != ErrorKind::WouldBlock => break,
                _ if taken == 0 => break,
                _ => {}
            }
        }
        Ok(plain)
    }

    /// Returns what is to be sent to the other end.
    pub(super) fn outgoing(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.connection.wants_write() {
            // A vector takes every byte.
            if self.connection.write_tls(&mut bytes).is_err() {
                break;
            }
        }
        bytes
    }
}

/// Takes every certificate, and every signature as that of its holder.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::PrivateKeyDer;
    use rustls::pki_types::pem::PemObject as _;
    use rustls::{ServerConfig, ServerConnection, SupportedProtocolVersion};

    use super::*;

    /// Somebody else's, by nobody, and over since 2020.
    const CERTIFICATE: &[u8] = include_bytes!("../../../tests/fixtures/elsewhere.crt");
    const KEY: &[u8] = include_bytes!("../../../tests/fixtures/elsewhere.key");

    fn server(version: &'static SupportedProtocolVersion) -> ServerConnection {
        let chain = vec![CertificateDer::from_pem_slice(CERTIFICATE).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        ServerConnection::new(Arc::new(config)).unwrap()
    }

    /// Lets both speak, in pieces of `step` bytes, until neither has more to say; returns what the
    /// server heard, whom it was said to, and what it answered.
    fn speak(
        host: &str,
        version: &'static SupportedProtocolVersion,
        step: usize,
    ) -> (Vec<u8>, Option<String>, Vec<u8>) {
        let (mut probe, mut server) = (Tls::begin(host).unwrap(), server(version));
        probe.say(b"well?").unwrap();
        let (mut heard, mut answer) = (Vec::new(), Vec::new());
        loop {
            let bytes = probe.outgoing();
            for mut piece in bytes.chunks(step) {
                server.read_tls(&mut piece).unwrap();
                server.process_new_packets().unwrap();
            }
            server.reader().read_to_end(&mut heard).ok();
            if !heard.is_empty() && answer.is_empty() {
                server.writer().write_all(&[b'.'; 40_000]).unwrap();
                server.send_close_notify();
            }
            let mut back = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut back).unwrap();
            }
            if bytes.is_empty() && back.is_empty() {
                return (heard, server.server_name().map(String::from), answer);
            }
            for piece in back.chunks(step) {
                answer.extend(probe.hear(piece).unwrap());
            }
        }
    }

    #[test]
    fn whoever_answers_is_heard_in_both_versions_however_it_comes() {
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            for step in [1, 1000, 100_000] {
                let (heard, name, answer) = speak("shop.example", version, step);
                assert_eq!(heard, b"well?");
                assert_eq!(name.as_deref(), Some("shop.example"));
                assert_eq!(answer, [b'.'; 40_000], "{version:?} {step}");
            }
        }
    }

    #[test]
    fn a_host_that_no_certificate_can_name_is_not_named() {
        for host in ["127.0.0.1", "::1", "a b", ""] {
            assert_eq!(speak(host, &rustls::version::TLS13, 100_000).1, None, "{host}");
        }
    }

    #[test]
    fn what_does_not_speak_tls_is_no_answer() {
        let mut probe = Tls::begin("localhost").unwrap();
        probe.say(b"well?").unwrap();
        assert!(!probe.outgoing().is_empty());
        probe.hear(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap_err();
    }
}
