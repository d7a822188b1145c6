//! TLS: who is trusted.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::DigitallySignedStruct;
use rustls::RootCertStore;
use rustls::SignatureScheme;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::client::danger::ServerCertVerified;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::ServerName;
use rustls::pki_types::UnixTime;
use rustls::pki_types::pem::PemObject as _;

use crate::RegistryError;
use crate::RootCertificate;

/// Reads the configured certificates.
///
/// # Errors
/// When one cannot be read, or a file has none.
pub(crate) fn parse_roots(roots: &[RootCertificate]) -> Result<RootCertStore, RegistryError> {
    let mut store = RootCertStore::empty();
    for root in roots {
        let (path, pem) = match root {
            RootCertificate::Pem(pem) => ("PEM text".into(), Ok(pem.to_vec())),
            RootCertificate::File(path) => (path.clone(), std::fs::read(path)),
        };
        let failed = |reason: String| RegistryError::Certificate {
            path: path.clone(),
            reason,
        };
        let pem = pem.map_err(|error| failed(error.to_string()))?;
        let before = store.len();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|error| failed(error.to_string()))?;
            store
                .add(certificate)
                .map_err(|error| failed(error.to_string()))?;
        }
        if store.len() == before {
            return Err(failed("expected `-----BEGIN CERTIFICATE-----`".to_owned()));
        }
    }
    Ok(store)
}

/// Trusts the system's certificate authorities and `extra`.
pub(super) fn verified(extra: &RootCertStore) -> Result<ClientConfig, rustls::Error> {
    let mut roots = extra.clone();
    // A system without any is noticed when a certificate cannot be verified.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    Ok(with_protocols(
        builder.with_root_certificates(roots).with_no_client_auth(),
    ))
}

/// Trusts whoever answers.
pub(super) fn unverified() -> Result<ClientConfig, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let anybody = builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider())));
    Ok(with_protocols(anybody.with_no_client_auth()))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn with_protocols(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

/// Accepts every certificate; the handshake must still be signed with its key.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
