//! TLS towards providers: whom to trust, what to offer, sessions to resume.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use rustls::{
    ClientConfig, HandshakeKind, RootCertStore,
    client::Resumption,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::origin::bare;
use crate::error::{Code, Failure, Retry};

/// Servers (by name) whose sessions are kept for resumption.
const SESSIONS: usize = 1024;

/// The one place that names who does the cryptography.
pub(super) fn crypto() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// The client side of TLS, made when the first origin needs it.
pub(super) struct Tls {
    state: Mutex<State>,
    /// Counts changes of trust: a connection made under an older one is not reused.
    generation: AtomicU64,
}

struct State {
    ca_file: Option<String>,
    /// What it held when it was read, if it could be: a file replaced in place is a change too.
    ca_bytes: Option<Vec<u8>>,
    made: Option<Result<Arc<ClientConfig>, String>>,
}

impl Tls {
    pub(super) fn new(ca_file: Option<String>) -> Self {
        let ca_bytes = ca_file.as_deref().and_then(|path| std::fs::read(path).ok());
        Self { state: Mutex::new(State { ca_file, ca_bytes, made: None }), generation: AtomicU64::new(0) }
    }

    /// Reads the roots of trust, if that has not been done.
    pub(super) fn prepare(&self) {
        let _ = self.config();
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    pub(super) fn set_ca_file(&self, ca_file: Option<&str>) -> Result<(), String> {
        let ca_bytes = ca_file.map(read).transpose()?;
        let mut state = self.state.lock();
        if state.ca_file.as_deref() == ca_file && state.ca_bytes == ca_bytes && !matches!(state.made, Some(Err(_))) {
            return Ok(());
        }
        let authorities = ca_file.zip(ca_bytes.as_deref());
        add_all(&mut RootCertStore::empty(), authorities)?;
        let made = state.made.is_some().then(|| configure(authorities));
        *state = State { ca_file: ca_file.map(str::to_owned), ca_bytes, made };
        self.generation.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// The handshake as a client of `host`.
    pub(super) async fn handshake<S>(&self, host: &str, io: S) -> Result<TlsStream<S>, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let failed = |why: String| Failure::new(Code::UpstreamTls, Retry::Yes, format!("TLS with {host}: {why}"));
        let config = self.config().map_err(failed)?;
        let name = ServerName::try_from(bare(host).to_owned()).map_err(|_| failed("not a valid name".to_owned()))?;
        TlsConnector::from(config).connect(name, io).await.map_err(|error| failed(explain(&error)))
    }

    fn config(&self) -> Result<Arc<ClientConfig>, String> {
        let mut state = self.state.lock();
        let State { ca_file, ca_bytes, made } = &mut *state;
        if let (Some(path), None) = (&ca_file, &ca_bytes) {
            *ca_bytes = Some(read(path)?);
        }
        made.get_or_insert_with(|| configure(ca_file.as_deref().zip(ca_bytes.as_deref()))).clone()
    }
}

/// True when the handshake took up an earlier session.
pub(super) fn resumed<S>(stream: &TlsStream<S>) -> bool {
    stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed)
}

/// Whether a file can stand as `tls.ca_file`.
pub(super) fn check(ca_file: Option<&str>) -> Result<(), String> {
    ca_file.map_or(Ok(()), |path| add_all(&mut RootCertStore::empty(), Some((path, &read(path)?))))
}

/// `authorities`: a file and what it holds.
fn configure(authorities: Option<(&str, &[u8])>) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    add_all(&mut roots, authorities)?;
    let mut config = ClientConfig::builder_with_provider(crypto())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    Ok(Arc::new(config))
}

fn read(path: &str) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("cannot read {path}: {error}"))
}

fn add_all(roots: &mut RootCertStore, authorities: Option<(&str, &[u8])>) -> Result<(), String> {
    let Some((path, pem)) = authorities else { return Ok(()) };
    let mut count = 0;
    for certificate in CertificateDer::pem_slice_iter(pem) {
        count += 1;
        certificate
            .map_err(|error| error.to_string())
            .and_then(|certificate| roots.add(certificate).map_err(|error| error.to_string()))
            .map_err(|why| format!("{path}: certificate {count} is not usable: {why}"))?;
    }
    if count == 0 {
        return Err(format!("{path} holds no certificate in PEM form"));
    }
    Ok(())
}

/// The reason of a failed handshake, with what to do about the most common one.
fn explain(error: &io::Error) -> String {
    let why = error.to_string();
    let certificate = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()).is_some_and(|inner| {
        matches!(inner, rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer))
    });
    if certificate { format!("{why}: add the issuer to tls.ca_file") } else { why }
}
