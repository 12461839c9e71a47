//! Datagrams in batches: `recvmmsg` with `UDP_GRO`, `sendmmsg` with `UDP_SEGMENT`.

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};

use tandem_stun::wire::Head;

use super::call::{check, set_option, socklen, to_address, write_address};
use super::errors;
use super::segments::Refusals;

/// Options of every UDP socket; `wants_local` adds the local address to each datagram.
pub(crate) fn prepare_udp(socket: &socket2::Socket, wants_local: bool, is_v4: bool) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    let fd = socket.as_raw_fd();
    // Without GRO (before Linux 5.0) datagrams come one by one: no loss but speed.
    let _ = set_option(fd, libc::SOL_UDP, libc::UDP_GRO, 1);
    if wants_local && is_v4 {
        set_option(fd, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?;
    } else if wants_local {
        set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
    }
    Ok(())
}

/// Room for control messages; aligned as `cmsghdr` wants it.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; 128]);

/// What one turn has read from many sockets, each by `recvmmsg`, until it is dealt with.
pub(crate) struct Receiver<S> {
    bytes: Vec<u8>,
    names: Vec<libc::sockaddr_storage>,
    controls: Vec<Control>,
    vectors: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
    /// Which socket each piece came from.
    sources: Vec<S>,
}

/// What came from one sender in one piece: one datagram, or several of `segment` bytes (the last may be shorter).
pub(crate) struct Received<'a, S> {
    pub(crate) source: S,
    pub(crate) from: SocketAddr,
    pub(crate) local: Option<IpAddr>,
    pub(crate) bytes: &'a [u8],
    segment: usize,
}

impl<'a, S> Received<'a, S> {
    pub(crate) fn datagrams(&self) -> impl Iterator<Item = &'a [u8]> + use<'a, S> {
        let size = if self.segment == 0 { self.bytes.len() } else { self.segment };
        // An empty datagram is one, too.
        self.bytes.chunks(size.max(1)).chain(self.bytes.is_empty().then_some(self.bytes))
    }
}

/// The same, to be changed where it lies.
pub(crate) struct ReceivedMut<'a> {
    pub(crate) from: SocketAddr,
    bytes: &'a mut [u8],
    segment: usize,
}

impl ReceivedMut<'_> {
    pub(crate) fn datagrams_mut(&mut self) -> impl Iterator<Item = &mut [u8]> {
        let size = if self.segment == 0 { self.bytes.len() } else { self.segment };
        self.bytes.chunks_mut(size.max(1))
    }
}

impl<S: Copy> Receiver<S> {
    pub(crate) fn new() -> Self {
        // SAFETY: all-zero bytes are valid values of these C structures.
        let (name, vector, header) = unsafe { (zeroed(), zeroed(), zeroed()) };
        Self {
            bytes: vec![0; SLOTS * STRIDE],
            names: vec![name; SLOTS],
            controls: vec![Control([0; 128]); SLOTS],
            vectors: vec![vector; SLOTS],
            headers: vec![header; SLOTS],
            sources: Vec::with_capacity(SLOTS),
        }
    }

    /// How many more pieces there is room for.
    pub(crate) fn room(&self) -> usize {
        SLOTS - self.sources.len()
    }

    /// How many have been read.
    pub(crate) fn len(&self) -> usize {
        self.sources.len()
    }

    /// Forgets what has been read.
    pub(crate) fn clear(&mut self) {
        self.sources.clear();
    }

    /// Reads what is there, at most so many pieces; returns how many.
    pub(crate) fn receive(&mut self, fd: RawFd, most: usize, source: S) -> io::Result<usize> {
        let (start, most) = (self.sources.len(), most.min(self.room()).min(BATCH));
        let slots = self.bytes.chunks_exact_mut(STRIDE).zip(&mut self.names).zip(&mut self.controls);
        let places = slots.zip(self.vectors.iter_mut().zip(&mut self.headers)).skip(start).take(most);
        for (((bytes, name), control), (vector, header)) in places {
            *vector = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: DATAGRAM };
            header.msg_len = 0;
            header.msg_hdr.msg_name = (&raw mut *name).cast();
            header.msg_hdr.msg_namelen = socklen(size_of::<libc::sockaddr_storage>());
            header.msg_hdr.msg_iov = &raw mut *vector;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = (&raw mut *control).cast();
            header.msg_hdr.msg_controllen = size_of::<Control>();
            header.msg_hdr.msg_flags = 0;
        }
        let headers = self.headers.get_mut(start..start + most).unwrap_or_default();
        let room = libc::c_uint::try_from(headers.len()).unwrap_or_default();
        // SAFETY: every one of these headers points to its own name, control and data buffer, all owned by `self` and
        // not moved during the call, with sizes they have at least.
        let count = unsafe { libc::recvmmsg(fd, headers.as_mut_ptr(), room, libc::MSG_DONTWAIT, std::ptr::null_mut()) };
        match check(count) {
            Ok(count) => {
                let count = usize::try_from(count).unwrap_or_default();
                self.sources.resize(start + count, source);
                Ok(count)
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// What has been read, to be changed where it lies.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = ReceivedMut<'_>> {
        let slots = self.headers.iter().zip(&self.names).zip(self.bytes.chunks_exact_mut(STRIDE)).zip(&self.sources);
        slots.filter_map(|(((header, name), bytes), _)| {
            let length = usize::try_from(header.msg_len).ok()?;
            let (_, segment) = read_control(&header.msg_hdr);
            let whole = header.msg_hdr.msg_flags & libc::MSG_TRUNC == 0;
            let from = to_address(name).filter(|_| whole)?;
            Some(ReceivedMut { from, bytes: bytes.get_mut(..length)?, segment })
        })
    }

    /// What has been read.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Received<'_, S>> {
        let slots = self.headers.iter().zip(&self.names).zip(self.bytes.chunks_exact(STRIDE)).zip(&self.sources);
        slots.filter_map(|(((header, name), bytes), &source)| {
            let length = usize::try_from(header.msg_len).ok()?;
            let (local, segment) = read_control(&header.msg_hdr);
            // A truncated datagram is no datagram; 64 KiB hold all there are.
            let whole = header.msg_hdr.msg_flags & libc::MSG_TRUNC == 0;
            let from = to_address(name).filter(|_| whole)?;
            Some(Received { source, from, local, bytes: bytes.get(..length)?, segment })
        })
    }
}

/// Local address and segment size.
fn read_control(header: &libc::msghdr) -> (Option<IpAddr>, usize) {
    let (mut local, mut segment) = (None, 0);
    // SAFETY: the kernel has filled the control buffer and set its length; the macros stay inside it.
    let mut message = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !message.is_null() {
        // SAFETY: `message` points into the control buffer; each payload is read unaligned, as the type it has.
        unsafe {
            let data = libc::CMSG_DATA(message);
            match ((*message).cmsg_level, (*message).cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    let info: libc::in_pktinfo = data.cast::<libc::in_pktinfo>().read_unaligned();
                    local = Some(IpAddr::V4(Ipv4Addr::from_bits(u32::from_be(info.ipi_spec_dst.s_addr))));
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    let info: libc::in6_pktinfo = data.cast::<libc::in6_pktinfo>().read_unaligned();
                    local = Some(IpAddr::V6(Ipv6Addr::from(info.ipi6_addr.s6_addr)));
                }
                (libc::SOL_UDP, libc::UDP_GRO) => {
                    let size: libc::c_int = data.cast::<libc::c_int>().read_unaligned();
                    segment = usize::try_from(size).unwrap_or_default();
                }
                _ => {}
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
    (local, segment)
}

/// One packet to send.
#[derive(Clone, Copy)]
pub(crate) struct Outgoing<'a> {
    pub(crate) fd: RawFd,
    pub(crate) to: SocketAddr,
    /// The local address to send from, where the socket has many.
    pub(crate) source: Option<IpAddr>,
    pub(crate) head: Head,
    pub(crate) payload: &'a [u8],
    pub(crate) padded: bool,
    /// Traffic class (RFC 2474); 0: the socket's own.
    pub(crate) class: u8,
}

impl Outgoing<'_> {
    fn unpadded(&self) -> usize {
        self.head.as_bytes().len() + self.payload.len()
    }

    fn padding(&self) -> usize {
        if self.padded { self.unpadded().next_multiple_of(4) - self.unpadded() } else { 0 }
    }

    fn size(&self) -> usize {
        self.unpadded() + self.padding()
    }

    /// Packets of one flow have the same; packets of different flows hardly ever.
    fn flow(&self) -> u64 {
        let low = match self.to.ip() {
            IpAddr::V4(ip) => u64::from(ip.to_bits() & 0xFFFF),
            IpAddr::V6(ip) => u64::from(ip.segments()[7]),
        };
        (u64::from(self.fd.cast_unsigned()) << 32) | (u64::from(self.to.port()) << 16) | low
    }

    fn same_flow(&self, other: &Self) -> bool {
        self.fd == other.fd && self.to == other.to && self.source == other.source && self.class == other.class
    }
}

/// Sends batches: runs of equal size to one destination leave as one segmented datagram.
pub(crate) struct Sender {
    names: Vec<libc::sockaddr_storage>,
    controls: Vec<Control>,
    vectors: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
    /// Where each message's vectors begin, and how many packets it holds.
    runs: Vec<(usize, usize)>,
    /// Packets by flow, in the order they came in.
    order: Vec<(u64, usize)>,
    refusals: Refusals,
}

impl Sender {
    pub(crate) fn new() -> Self {
        // SAFETY: all-zero bytes are valid values of these C structures.
        let (name, header) = unsafe { (zeroed(), zeroed()) };
        Self {
            names: vec![name; BATCH],
            controls: vec![Control([0; 128]); BATCH],
            vectors: Vec::new(),
            headers: vec![header; BATCH],
            runs: Vec::new(),
            order: Vec::new(),
            refusals: Refusals::default(),
        }
    }

    /// Sends all, in order within each flow; returns how many the kernel did not take.
    pub(crate) fn send(&mut self, packets: &[Outgoing<'_>]) -> usize {
        // Flows that came interleaved leave as runs.
        let mut order = std::mem::take(&mut self.order);
        order.clear();
        order.extend(packets.iter().zip(0..).map(|(packet, index)| (packet.flow(), index)));
        order.sort_unstable();
        let sorted = Sorted { packets, order: &order };
        let (mut lost, mut start) = (0, 0);
        while let Some(first) = sorted.get(start) {
            let same_socket = sorted.from(start).take_while(|packet| packet.fd == first.fd).count();
            lost += self.send_by_socket(first.fd, sorted, (start, start + same_socket));
            start += same_socket;
        }
        self.order = order;
        lost
    }

    fn send_by_socket(&mut self, fd: RawFd, packets: Sorted<'_>, (mut start, end): (usize, usize)) -> usize {
        let (mut lost, mut again) = (0, 0);
        while start < end {
            let prepared = self.prepare(packets, (start, end));
            let count = libc::c_uint::try_from(prepared).unwrap_or_default();
            // SAFETY: `prepare` has pointed the first `count` headers at names, controls and vectors owned by `self`,
            // and the vectors at bytes of `packets`; none of them moves before the call returns.
            let sent = unsafe { libc::sendmmsg(fd, self.headers.as_mut_ptr(), count, libc::MSG_DONTWAIT) };
            let done = usize::try_from(sent).unwrap_or_default();
            start += self.runs.iter().take(done).map(|&(_, packets)| packets).sum::<usize>();
            if done > 0 {
                continue;
            }
            let failed = self.runs.first().map_or(1, |&(_, packets)| packets);
            match io::Error::last_os_error().raw_os_error() {
                Some(libc::EINTR) => {}
                // The device or path cannot segment: one by one from here on.
                Some(code @ (libc::EIO | libc::EINVAL | libc::EMSGSIZE))
                    if failed > 1 && (code != libc::EMSGSIZE || again > 0) =>
                {
                    packets.get(start).into_iter().for_each(|packet| self.refusals.add(packet.to.ip()));
                }
                // What an earlier packet, perhaps to another peer, has come to is told here: this one has not left yet.
                Some(code) if errors::is_of_earlier(code) && again < MAX_AGAIN => again += 1,
                Some(libc::EAGAIN | libc::ENOBUFS) => return lost + (end - start),
                _ => {
                    lost += failed;
                    start += failed;
                }
            }
        }
        lost
    }

    /// Fills headers for as many packets as fit one call; returns how many headers.
    fn prepare(&mut self, packets: Sorted<'_>, (start, end): (usize, usize)) -> usize {
        self.vectors.clear();
        self.runs.clear();
        let mut next = start;
        while next < end && self.runs.len() < BATCH {
            let run = self.run_length(packets, (next, end));
            self.runs.push((self.vectors.len(), run));
            for packet in packets.from(next).take(run) {
                for bytes in [packet.head.as_bytes(), packet.payload, PADDING.get(..packet.padding()).unwrap_or(&[])] {
                    // The kernel only reads through these vectors. It takes time for each, empty or not.
                    let iov_base = bytes.as_ptr().cast_mut().cast();
                    if !bytes.is_empty() {
                        self.vectors.push(libc::iovec { iov_base, iov_len: bytes.len() });
                    }
                }
            }
            next += run;
        }
        self.point_headers(packets.from(start));
        self.runs.len()
    }

    /// The vectors stand still from here on: point to them.
    fn point_headers<'p>(&mut self, mut packets: impl Iterator<Item = &'p Outgoing<'p>>) {
        let ends = self.runs.iter().skip(1).map(|&(start, _)| start).chain([self.vectors.len()]);
        let places = self.headers.iter_mut().zip(&mut self.names).zip(&mut self.controls);
        for ((&(start, run), end), ((header, name), control)) in self.runs.iter().zip(ends).zip(places) {
            let Some(first) = packets.next() else { return };
            let namelen = write_address(name, first.to);
            let segment = (run > 1).then(|| first.size());
            header.msg_len = 0;
            header.msg_hdr.msg_name = (&raw mut *name).cast();
            header.msg_hdr.msg_namelen = namelen;
            header.msg_hdr.msg_iov =
                self.vectors.get_mut(start).map_or(std::ptr::null_mut(), |vector| &raw mut *vector);
            header.msg_hdr.msg_iovlen = end - start;
            header.msg_hdr.msg_control = (&raw mut *control).cast();
            header.msg_hdr.msg_controllen = size_of::<Control>();
            header.msg_hdr.msg_controllen =
                write_control(&header.msg_hdr, (first.source, first.to.is_ipv4()), first.class, segment);
            if header.msg_hdr.msg_controllen == 0 {
                header.msg_hdr.msg_control = std::ptr::null_mut();
            }
            packets.by_ref().take(run - 1).for_each(drop);
        }
    }

    /// How many packets from the first on can leave as one: same flow, same size, the last may be shorter.
    fn run_length(&self, packets: Sorted<'_>, (start, end): (usize, usize)) -> usize {
        let Some(first) = packets.get(start) else { return 1 };
        let size = first.size();
        if size == 0 || size > MAX_SEGMENT || self.refusals.contains(first.to.ip()) {
            return 1;
        }
        let most = (MAX_RUN_BYTES / size).clamp(1, MAX_RUN).min(end - start);
        let mut length = 1;
        for packet in packets.from(start).take(most).skip(1) {
            if !packet.same_flow(first) || packet.size() > size || packet.size() == 0 {
                break;
            }
            length += 1;
            if packet.size() < size {
                break;
            }
        }
        length
    }
}

/// Packets in another order.
#[derive(Clone, Copy)]
struct Sorted<'a> {
    packets: &'a [Outgoing<'a>],
    order: &'a [(u64, usize)],
}

impl<'a> Sorted<'a> {
    fn get(&self, place: usize) -> Option<&'a Outgoing<'a>> {
        self.order.get(place).and_then(|&(_, index)| self.packets.get(index))
    }

    fn from(self, place: usize) -> impl Iterator<Item = &'a Outgoing<'a>> {
        self.order.get(place..).unwrap_or_default().iter().filter_map(move |&(_, index)| self.packets.get(index))
    }
}

/// Writes source address, traffic class and segment size; returns the bytes used.
fn write_control(
    header: &libc::msghdr,
    (source, is_v4): (Option<IpAddr>, bool),
    class: u8,
    segment: Option<usize>,
) -> usize {
    let mut used = 0;
    // SAFETY: the control buffer has 128 aligned bytes, and `msg_controllen` says so; at most an in6_pktinfo (20 bytes), an
    // int and a u16 are written, each behind its header, which takes 40, 24 and 24 bytes.
    unsafe {
        let start = libc::CMSG_FIRSTHDR(header);
        let mut message = start;
        match source {
            Some(IpAddr::V4(ip)) => {
                let mut info: libc::in_pktinfo = zeroed();
                info.ipi_spec_dst.s_addr = ip.to_bits().to_be();
                used += put(message, libc::IPPROTO_IP, libc::IP_PKTINFO, info);
            }
            Some(IpAddr::V6(ip)) => {
                let mut info: libc::in6_pktinfo = zeroed();
                info.ipi6_addr.s6_addr = ip.octets();
                used += put(message, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info);
            }
            None => {}
        }
        if class != 0 {
            let (level, kind) = match is_v4 {
                true => (libc::IPPROTO_IP, libc::IP_TOS),
                false => (libc::IPPROTO_IPV6, libc::IPV6_TCLASS),
            };
            message = start.cast::<u8>().add(used).cast();
            used += put(message, level, kind, libc::c_int::from(class));
        }
        if let Some(segment) = segment.and_then(|size| u16::try_from(size).ok()) {
            message = start.cast::<u8>().add(used).cast();
            used += put(message, libc::SOL_UDP, libc::UDP_SEGMENT, segment);
        }
    }
    used
}

/// Writes one control message; returns the space it takes.
///
/// # Safety
/// `message` must point to an aligned place with room for a header and `value`.
unsafe fn put<T>(message: *mut libc::cmsghdr, level: libc::c_int, kind: libc::c_int, value: T) -> usize {
    let size = libc::c_uint::try_from(size_of::<T>()).unwrap_or_default();
    // SAFETY: by the caller's promise.
    unsafe {
        (*message).cmsg_level = level;
        (*message).cmsg_type = kind;
        (*message).cmsg_len = usize::try_from(libc::CMSG_LEN(size)).unwrap_or_default();
        libc::CMSG_DATA(message).cast::<T>().write_unaligned(value);
        usize::try_from(libc::CMSG_SPACE(size)).unwrap_or_default()
    }
}

/// Sends that are repeated because the kernel told of an earlier one instead.
const MAX_AGAIN: usize = 16;
/// Datagrams per call.
pub(crate) const BATCH: usize = 64;
/// Pieces read before they are dealt with.
const SLOTS: usize = 128;
/// GRO may merge up to 64 KiB.
const DATAGRAM: usize = 65_536;
/// A little more, so that the first bytes of all pieces do not fall into the same few lines of the processor's caches.
const STRIDE: usize = DATAGRAM + 7 * 64;
/// The kernel's limit of segments (UDP_MAX_SEGMENTS).
const MAX_RUN: usize = 64;
/// Below the largest UDP payload.
const MAX_RUN_BYTES: usize = 65_000;
/// What fits a path of 1500 bytes, over IPv6, too.
const MAX_SEGMENT: usize = 1_452;
const PADDING: [u8; 3] = [0; 3];
