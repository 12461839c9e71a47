//! The client of webrtc-rs (`turn`), over UDP.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::timeout;
use turn::client::{Client, ClientConfig};
use webrtc_util::Conn;

use crate::Server;

/// Two of them write to each other, often enough that they bind channels.
pub fn run(server: &Server) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (first, second) = (client(server).await, client(server).await);
        let mapped = first.send_binding_request().await.expect("a mapped address");
        assert!(mapped.ip().is_loopback(), "{mapped}");
        let (at_first, at_second) =
            (first.allocate().await.expect("a relayed address"), second.allocate().await.expect("a relayed address"));
        let (to_first, to_second) =
            (at_first.local_addr().expect("an address"), at_second.local_addr().expect("an address"));
        // The permission for the other one comes with what is sent to it.
        at_second.send_to(b"let it in", to_first).await.expect("sent");
        let mut bytes = [0; 2_000];
        for number in 0..20_u8 {
            let text = [number; 100];
            at_first.send_to(&text, to_second).await.expect("sent");
            let (length, from) = received(&at_second, &mut bytes).await;
            assert_eq!((&bytes[..length], from), (&text[..], to_first));
            at_second.send_to(&text, to_first).await.expect("sent");
            let (mut length, mut from) = received(&at_first, &mut bytes).await;
            if &bytes[..length] == b"let it in" {
                (length, from) = received(&at_first, &mut bytes).await;
            }
            assert_eq!((&bytes[..length], from), (&text[..], to_second));
        }
        for client in [first, second] {
            client.close().await.expect("closed");
        }
    });
    println!("ok  turn (webrtc-rs), UDP, 20 messages each way");
}

async fn client(server: &Server) -> Client {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let config = ClientConfig {
        stun_serv_addr: server.plain.to_string(),
        turn_serv_addr: server.plain.to_string(),
        username: server.user.clone(),
        password: server.password.clone(),
        realm: "tandem".to_owned(),
        software: "oracle".to_owned(),
        rto_in_ms: 0,
        conn: Arc::new(socket),
        vnet: None,
    };
    let client = Client::new(config).await.expect("a client");
    client.listen().await.expect("it listens");
    client
}

async fn received(conn: &impl Conn, bytes: &mut [u8]) -> (usize, std::net::SocketAddr) {
    timeout(Duration::from_secs(10), conn.recv_from(bytes)).await.expect("in time").expect("received")
}
