//! The codec on real sockets: when the kernel is asked, and how ends are seen.

use std::task::Poll;

use penstock_core::http::{Buffers, Conn, HeadLimits, RequestHead, Stream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
    time::{Duration, timeout},
};

use crate::script::once;

const GET: &[u8] = b"GET /a HTTP/1.1\r\nHost: gw\r\n\r\n";

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (client, server) = tokio::join!(TcpStream::connect(address), listener.accept());
    (client.unwrap(), server.unwrap().0)
}

/// Serves one request and then another, parked before, between and after without a buffer.
async fn park_and_serve<S: Stream>(mut client: impl AsyncReadExt + AsyncWriteExt + Unpin, server: S) {
    let buffers = Buffers::new(2);
    let mut conn = Conn::new(server, buffers.clone());
    let mut head = RequestHead::default();
    for _ in 0..2 {
        assert!(once(|cx| conn.poll_parked(cx)).is_pending());
        assert_eq!(buffers.lent(), 0);
        let (sent, parked) = tokio::join!(client.write_all(GET), conn.parked());
        sent.and(parked).unwrap();
        assert!(conn.request_head(&mut head, &HeadLimits::default()).await.unwrap());
        assert!(once(|cx| conn.poll_departed(cx)).is_pending());
        conn.write(&[b"HTTP/1.1 200 OK\r\n", b"content-length: 2\r\n\r\n", b"ok"]).await.unwrap();
        conn.finish_message();
        let mut answer = [0; 40];
        client.read_exact(&mut answer).await.unwrap();
        assert!(answer.ends_with(b"\r\n\r\nok"));
        assert!(once(|cx| conn.poll_alive(cx)));
    }
    assert_eq!(buffers.lent(), 0);
    drop(client);
    timeout(Duration::from_secs(10), conn.departed()).await.expect("the end is seen");
    assert!(!conn.is_alive());
}

#[tokio::test]
async fn connections_are_served_and_parked_over_tcp() {
    let (client, server) = pair().await;
    park_and_serve(client, server).await;
}

#[tokio::test]
async fn connections_are_served_and_parked_over_a_unix_socket() {
    let (client, server) = UnixStream::pair().unwrap();
    park_and_serve(client, server).await;
}

#[tokio::test]
async fn a_reset_is_a_departure() {
    let (client, server) = pair().await;
    let mut conn = Conn::new(server, Buffers::new(1));
    client.set_zero_linger().unwrap();
    drop(client);
    timeout(Duration::from_secs(10), conn.departed()).await.expect("the reset is seen");
}

#[tokio::test]
async fn an_idle_connection_that_the_peer_closed_is_seen_without_waiting_on_it() {
    let (client, server) = pair().await;
    let mut conn = Conn::new(server, Buffers::new(1));
    assert!(conn.is_alive());
    drop(client);
    let gone = async {
        while conn.is_alive() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), gone).await.expect("the end is seen");
}

#[tokio::test]
async fn a_slow_reader_makes_a_write_wait_and_gets_every_byte() {
    let (mut client, server) = pair().await;
    let mut conn = Conn::new(server, Buffers::new(1));
    let body = vec![b'x'; 8 << 20];
    let parts: [&[u8]; 3] = [b"head", &body, b"end"];
    let mut out = penstock_core::http::Output::new(&parts);
    assert!(matches!(once(|cx| conn.poll_write(cx, &mut out)), Poll::Pending));
    assert!(out.remaining() > 0);
    let mut got = Vec::new();
    let (wrote, read) = tokio::join!(
        async {
            std::future::poll_fn(|cx| conn.poll_write(cx, &mut out)).await?;
            conn.shutdown().await
        },
        client.read_to_end(&mut got)
    );
    wrote.unwrap();
    assert_eq!(read.unwrap(), body.len() + 7);
    assert!(got.starts_with(b"headxxx") && got.ends_with(b"xxxend"));
}
