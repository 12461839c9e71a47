//! Datagrams on their way out: written by the plane side by side, sent together.

use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::RawFd;

use tandem_media::{MAX_DATAGRAM, Mark, Outbox, Path, Protocol};
use tandem_stun::wire::Head;

use super::streams::Streams;
use crate::net::epoll::Epoll;
use crate::net::udp::{Outgoing, Sender};

/// Where those go that leave by TCP.
pub(super) struct Tcp<'a> {
    pub(super) streams: &'a mut Streams,
    pub(super) epoll: &'a Epoll,
}

/// What one turn sends.
pub(super) struct Batch {
    bytes: Vec<u8>,
    used: usize,
    entries: Vec<Entry>,
}

struct Entry {
    path: Path,
    mark: Mark,
    range: Range<usize>,
}

impl Batch {
    pub(super) fn new() -> Self {
        Self { bytes: vec![0; ROOM], used: 0, entries: Vec::new() }
    }

    /// Whether it had better be sent before more is written.
    pub(super) fn is_large(&self) -> bool {
        self.entries.len() >= MANY
    }

    /// Sends all; returns how many the kernel did not take.
    pub(super) fn send(&mut self, sender: &mut Sender, sockets: &[(RawFd, SocketAddr)], tcp: Tcp<'_>) -> usize {
        if self.entries.is_empty() {
            return 0;
        }
        let packets: Vec<Outgoing<'_>> = self
            .entries
            .iter()
            .filter(|entry| entry.path.protocol == Protocol::Udp)
            .filter_map(|entry| {
                let (fd, _) = sockets.iter().find(|(_, at)| *at == entry.path.local)?;
                let payload = self.bytes.get(entry.range.clone())?;
                Some(Outgoing {
                    fd: *fd,
                    to: entry.path.remote,
                    source: None,
                    head: Head::EMPTY,
                    payload,
                    padded: false,
                    class: class(entry.mark),
                })
            })
            .collect();
        let mut lost = sender.send(&packets);
        drop(packets);
        for entry in self.entries.iter().filter(|entry| entry.path.protocol == Protocol::Tcp) {
            let datagram = self.bytes.get(entry.range.clone()).unwrap_or_default();
            lost += usize::from(!tcp.streams.send(entry.path, datagram, tcp.epoll));
        }
        self.entries.clear();
        self.used = 0;
        // After a burst the memory goes back.
        if self.bytes.len() > 4 * ROOM {
            self.bytes.truncate(ROOM);
            self.bytes.shrink_to_fit();
        }
        lost
    }
}

impl Outbox for Batch {
    fn room(&mut self) -> &mut [u8] {
        let end = self.used + MAX_DATAGRAM;
        if self.bytes.len() < end {
            self.bytes.resize(end + ROOM, 0);
        }
        self.bytes.get_mut(self.used..end).unwrap_or_default()
    }

    fn commit(&mut self, path: Path, length: usize, mark: Mark) {
        let range = self.used..self.used + length.min(MAX_DATAGRAM);
        self.used = range.end;
        self.entries.push(Entry { path, mark, range });
    }
}

/// RFC 8837 §5, as a traffic class: interactive video AF41, audio EF; all else as it comes.
const fn class(mark: Mark) -> u8 {
    match mark {
        Mark::Audio => 46 << 2,
        Mark::Video => 34 << 2,
        Mark::Other => 0,
    }
}

const MANY: usize = 512;
const ROOM: usize = 256 << 10;
