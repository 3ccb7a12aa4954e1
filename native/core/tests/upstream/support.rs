//! What the upstream tests share: a network with a clock moved by hand, scripted names, servers, certificates.

use std::{
    fmt, fs,
    future::Future,
    io,
    net::SocketAddr,
    path::PathBuf,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use penstock_core::{
    clock::Clock,
    error::Failure,
    http::{Buffers, HeadLimits, ResponseHead},
    upstream::{Host, Lease, Network, NetworkOptions, Origin, Pool, Resolve, Stats, UpstreamStream},
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{ServerConfig, SupportedProtocolVersion, crypto::aws_lc_rs, pki_types::PrivateKeyDer};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
    task::yield_now,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// A limit that no test means to reach.
pub(crate) const AMPLE_MS: u64 = 20_000;

/// One worker's view of a network whose clock stands still until it is moved.
pub(crate) struct Rig {
    pub(crate) network: Arc<Network>,
    pub(crate) pool: Rc<Pool>,
    pub(crate) buffers: Buffers,
    pub(crate) now: Arc<AtomicU64>,
}

impl Rig {
    pub(crate) fn new(options: NetworkOptions) -> Self {
        let now = Arc::new(AtomicU64::new(1_000_000_000));
        let network = Network::new(options, Clock::Manual(Arc::clone(&now)));
        let buffers = Buffers::new(8);
        let pool = Pool::new(Arc::clone(&network), buffers.clone());
        Self { network, pool, buffers, now }
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.now.fetch_add(u64::try_from(time.as_micros()).unwrap(), Ordering::Relaxed);
    }

    pub(crate) fn host(&self, origin: &Origin) -> Arc<Host> {
        self.network.host(origin)
    }

    /// A connection, and the server's end of it.
    pub(crate) async fn pair(&self, host: &Arc<Host>, listener: &TcpListener) -> (Lease, TcpStream) {
        soon(async {
            let lease = self.pool.connect(host, false, AMPLE_MS).await.unwrap();
            assert!(!lease.reused(), "an idle connection was used where a new one was expected");
            (lease, listener.accept().await.unwrap().0)
        })
        .await
    }

    pub(crate) async fn fail(&self, host: &Arc<Host>, limit_ms: u64) -> Failure {
        match self.pool.connect(host, false, limit_ms).await {
            Ok(_) => panic!("connected where that should fail"),
            Err(failure) => failure,
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.pool.close_idle();
        let Stats { open, idle, in_use, dialling, queued, .. } = self.network.stats();
        if !std::thread::panicking() {
            assert_eq!((open, idle, in_use, dialling, queued), (0, 0, 0, 0, 0), "something leaked");
            assert_eq!(self.buffers.lent(), 0, "a buffer leaked");
        }
    }
}

pub(crate) async fn soon<T>(work: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), work).await.expect("nothing happened in time")
}

pub(crate) async fn until(mut condition: impl FnMut() -> bool) {
    soon(async {
        while !condition() {
            yield_now().await;
        }
    })
    .await;
}

/// Lets the reactor report everything that the kernel knows by now.
pub(crate) async fn reactor_turn() {
    let (mut here, mut there) = UnixStream::pair().unwrap();
    for _ in 0..2 {
        here.write_all(b"x").await.unwrap();
        soon(there.read_exact(&mut [0])).await.unwrap();
    }
}

pub(crate) async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

pub(crate) fn origin(listener: &TcpListener) -> Origin {
    let address = listener.local_addr().unwrap();
    Origin { tls: false, host: address.ip().to_string(), port: address.port(), proxy: None }
}

/// A name that only the scripted resolver knows.
pub(crate) fn named(listener: &TcpListener, tls: bool) -> Origin {
    Origin { tls, host: "provider.test".to_owned(), ..origin(listener) }
}

/// The client's own address, which tells connections apart.
pub(crate) fn local(lease: &Lease) -> SocketAddr {
    match lease.io() {
        UpstreamStream::Tcp(io) => io.local_addr().unwrap(),
        UpstreamStream::Tls(io) => io.get_ref().0.local_addr().unwrap(),
        UpstreamStream::Nested(io) => io.get_ref().0.get_ref().0.local_addr().unwrap(),
    }
}

/// A resolver that answers as the test says and counts how often it was asked.
pub(crate) struct Script {
    asked: AtomicUsize,
    answer: Box<dyn Fn(usize) -> io::Result<Vec<SocketAddr>> + Send + Sync>,
}

impl Script {
    pub(crate) fn new(answer: impl Fn(usize) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { asked: AtomicUsize::new(0), answer: Box::new(answer) })
    }

    pub(crate) fn always(addresses: &[SocketAddr]) -> Arc<Self> {
        let addresses = addresses.to_vec();
        Self::new(move |_| Ok(addresses.clone()))
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Resolve for Script {
    fn resolve(&self, _name: &str, _port: u16) -> io::Result<Vec<SocketAddr>> {
        (self.answer)(self.asked.fetch_add(1, Ordering::SeqCst))
    }
}

/// One request and its answer over a leased connection, which is then ready to be kept.
pub(crate) async fn exchange(lease: &mut Lease, peer: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    let client = async {
        lease.write(&[b"GET / HTTP/1.1\r\n", b"host: provider.test\r\n\r\n"]).await.unwrap();
        let mut head = ResponseHead::default();
        lease.response_head(&mut head, &HeadLimits::default(), false).await.unwrap();
        assert_eq!(head.status, 200);
        while lease.body().await.unwrap() {}
        assert_eq!(lease.payload(), b"ok");
        lease.finish_message();
    };
    let server = async {
        read_head(peer).await;
        peer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        peer.flush().await.unwrap();
    };
    soon(async { tokio::join!(client, server) }).await;
}

/// Reads to the empty line, byte by byte, so that nothing beyond is taken.
pub(crate) async fn read_head(io: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(io.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// Waits for the other side to close.
pub(crate) async fn closed(io: &mut (impl AsyncRead + Unpin)) {
    let mut rest = Vec::new();
    // A reset is an end as well: the other side may close with bytes unread.
    let _ = soon(io.read_to_end(&mut rest)).await;
}

/// A certificate authority of one test, whose file goes when it does.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) file: TempFile,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        // Authorities of the same name would pass for each other until a signature is checked.
        params.distinguished_name.push(DnType::CommonName, format!("authority {}", unique()));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let file = TempFile::new(&params.self_signed(&key).unwrap().pem());
        Self { issuer: Issuer::new(params, key), file }
    }

    pub(crate) fn server(&self, name: &str) -> TlsAcceptor {
        self.server_with(name, rustls::ALL_VERSIONS, |_| {})
    }

    pub(crate) fn server_with(
        &self,
        name: &str,
        versions: &[&'static SupportedProtocolVersion],
        change: impl FnOnce(&mut CertificateParams),
    ) -> TlsAcceptor {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }

    /// Options that trust this authority and know one name.
    pub(crate) fn trusted(&self, listener: &TcpListener) -> NetworkOptions {
        NetworkOptions { ca_file: Some(self.file.path()), ..knows(listener) }
    }
}

/// Options under which every name leads to this listener.
pub(crate) fn knows(listener: &TcpListener) -> NetworkOptions {
    NetworkOptions { resolver: Script::always(&[listener.local_addr().unwrap()]), ..NetworkOptions::default() }
}

/// The server's half of a TLS connection.
pub(crate) async fn accept_tls(listener: &TcpListener, acceptor: &TlsAcceptor) -> io::Result<TlsStream<TcpStream>> {
    let (tcp, _) = listener.accept().await?;
    acceptor.accept(tcp).await
}

fn unique() -> usize {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

pub(crate) struct TempFile(PathBuf);

impl TempFile {
    pub(crate) fn new(text: &str) -> Self {
        let name = format!("ca-{}-{}.pem", std::process::id(), unique());
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::write(&path, text).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> String {
        self.0.to_str().unwrap().to_owned()
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl fmt::Debug for Rig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.network.stats())
    }
}
