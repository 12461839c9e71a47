//! The floor: forwards ChannelData like a relay, but asks nobody for credentials and knows no permission, timer or limit.
//! `recvmmsg` with GRO in, GSO out.

use std::collections::HashMap;
use std::net::{SocketAddrV4, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};

use anyhow::Context as _;

use crate::os::{self, Batch, Epoll};

struct Relay {
    socket: UdpSocket,
    client: SocketAddrV4,
    peer: SocketAddrV4,
}

/// One packet on its way: which relay, and its bytes after and before the header.
type Item<'a> = (usize, &'a [u8]);

/// Serves until it is killed.
pub fn serve(port: u16) -> anyhow::Result<()> {
    let listener = open(port)?;
    let mut epoll = Epoll::new()?;
    epoll.add(listener.as_raw_fd(), u64::MAX)?;
    let (mut relays, mut known): (Vec<Relay>, HashMap<SocketAddrV4, usize>) = Default::default();
    let (mut batch, mut ready) = (Batch::new(64), Vec::new());
    loop {
        epoll.ready(-1, &mut ready);
        for &token in &ready {
            if token != u64::MAX {
                let relay = relays.get(usize::try_from(token)?).context("a token of ours")?;
                down(&mut batch, relay, listener.as_raw_fd());
                continue;
            }
            batch.receive(listener.as_raw_fd(), 64);
            let mut items: Vec<Item<'_>> = Vec::with_capacity(64);
            for piece in batch.pieces() {
                match (piece.bytes, known.get(&piece.from)) {
                    (&[0x40, ..], Some(&index)) => {
                        items.extend(piece.bytes.chunks(piece.segment).map(|one| (index, one)))
                    }
                    (&[0, 0, p0, p1], _) => {
                        let peer = SocketAddrV4::new([127, 0, 0, 1].into(), u16::from_be_bytes([p0, p1]));
                        let relay = Relay { socket: open(0)?, client: piece.from, peer };
                        epoll.add(relay.socket.as_raw_fd(), u64::try_from(relays.len())?)?;
                        known.insert(piece.from, relays.len());
                        relays.push(relay);
                        listener.send_to(&[0], piece.from)?;
                    }
                    _ => {
                        listener.send_to(&[0], piece.from)?;
                    }
                }
            }
            up(&relays, items);
        }
    }
}

fn open(port: u16) -> anyhow::Result<UdpSocket> {
    let socket = UdpSocket::bind(("127.0.0.1", port))?;
    socket.set_nonblocking(true)?;
    os::set_udp(socket.as_raw_fd(), libc::UDP_GRO, 1)?;
    if port != 0 {
        os::set_buffers(socket.as_raw_fd());
    }
    Ok(socket)
}

fn up(relays: &[Relay], mut items: Vec<Item<'_>>) {
    items.sort_by_key(|&(index, _)| index);
    for flow in items.chunk_by(|a, b| a.0 == b.0) {
        let Some(relay) = flow.first().and_then(|&(index, _)| relays.get(index)) else { continue };
        let payloads: Vec<&[u8]> = flow.iter().map(|(_, bytes)| &bytes[4..]).collect();
        for run in runs(&payloads) {
            os::send_segments(relay.socket.as_raw_fd(), relay.peer, run, segment(run, 0));
        }
    }
}

fn down(batch: &mut Batch, relay: &Relay, listener: RawFd) {
    batch.receive(relay.socket.as_raw_fd(), 64);
    let payloads: Vec<&[u8]> = batch.pieces().flat_map(|piece| piece.bytes.chunks(piece.segment)).collect();
    for run in runs(&payloads) {
        let [l0, l1] = u16::try_from(run[0].len()).unwrap_or(0).to_be_bytes();
        let head = [0x40, 0, l0, l1];
        let parts: Vec<&[u8]> = run.iter().flat_map(|payload| [head.as_slice(), payload]).collect();
        os::send_segments(listener, relay.client, &parts, segment(run, 4));
    }
}

/// Packets of one size, as many as one call takes.
fn runs<'a>(payloads: &'a [&'a [u8]]) -> impl Iterator<Item = &'a [&'a [u8]]> {
    payloads.chunk_by(|a, b| a.len() == b.len()).flat_map(|same| same.chunks(32))
}

fn segment(run: &[&[u8]], head: usize) -> Option<usize> {
    (run.len() > 1).then(|| run[0].len() + head)
}
