//! TURN clients that other people have written, against a running relay: all of them must reach each other through it.
//!
//! `tandem-oracles ADDRESS PORT TLS-PORT USER PASSWORD`; exit code 0: they have.

mod sans_io;
mod webrtc;

use std::net::SocketAddr;

/// Where the relay is, and who may use it.
#[derive(Clone)]
pub struct Server {
    pub plain: SocketAddr,
    pub tls: SocketAddr,
    pub user: String,
    pub password: String,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, port, tls_port, user, password] = arguments.as_slice() else {
        panic!("expected ADDRESS PORT TLS-PORT USER PASSWORD");
    };
    let at = |port: &str| format!("{address}:{port}").parse().expect("an address and a port");
    let server = Server { plain: at(port), tls: at(tls_port), user: user.clone(), password: password.clone() };
    sans_io::run(&server);
    webrtc::run(&server);
}
