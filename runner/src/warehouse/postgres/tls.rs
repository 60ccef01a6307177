//! TLS to Postgres, by libpq's rules: `prefer` and `require` encrypt without asking who answers, `verify-ca` and
//! `verify-full` prove it.

use std::sync::Arc;

use headwater_core::error::{Error, Result};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
    server::ParsedCertificate,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::settings::{PostgresSettings, SslMode};

/// What connects with TLS, as the settings say.
pub fn connector(settings: &PostgresSettings, mode: SslMode) -> Result<MakeRustlsConnect> {
    let provider = Arc::new(ring::default_provider());
    // As libpq does: who names an authority wants it asked.
    let proven = match mode {
        SslMode::VerifyFull => Some(true),
        SslMode::VerifyCa => Some(false),
        SslMode::Require if settings.sslrootcert.is_some() => Some(false),
        _ => None,
    };
    let verifier = match proven {
        Some(names) => Verifier::proving(roots(settings)?, names, provider.clone())?,
        None => Verifier { proof: None, provider: provider.clone() },
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::unexpected(format!("warehouse: TLS: {error}")))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

/// The authorities that are believed: those of `sslrootcert`, or the system's.
fn roots(settings: &PostgresSettings) -> Result<Vec<CertificateDer<'static>>> {
    let certificates = match &settings.sslrootcert {
        Some(file) => CertificateDer::pem_file_iter(file)
            .and_then(Iterator::collect)
            .map_err(|error| Error::config(format!("warehouse.sslrootcert {}: {error}", file.display())))?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    match certificates.is_empty() {
        false => Ok(certificates),
        true => Err(Error::config(
            "warehouse: there is no certificate to verify the server by: set sslrootcert to its authority's",
        )),
    }
}

/// Looks at a server's certificate, or only at whether it holds the key of it.
#[derive(Debug)]
struct Verifier {
    proof: Option<Proof>,
    provider: Arc<CryptoProvider>,
}

/// How a certificate is proven.
#[derive(Debug)]
struct Proof {
    chains: Arc<WebPkiServerVerifier>,
    /// Certificates that are believed by themselves: a self-signed one may be the server's own.
    known: Vec<CertificateDer<'static>>,
    /// Whether the host's name counts too.
    names: bool,
}

impl Verifier {
    fn proving(
        known: Vec<CertificateDer<'static>>,
        names: bool,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(known.iter().cloned());
        let chains = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .build()
            .map_err(|error| Error::config(format!("warehouse.sslrootcert: {error}")))?;
        Ok(Self { proof: Some(Proof { chains, known, names }), provider })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        stapled: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(proof) = &self.proof else { return Ok(ServerCertVerified::assertion()) };
        if proof.known.iter().any(|known| known == certificate) {
            if proof.names {
                verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
            }
            return Ok(ServerCertVerified::assertion());
        }
        match proof.chains.verify_server_cert(certificate, between, name, stapled, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !proof.names => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
