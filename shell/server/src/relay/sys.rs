//! The few system calls the standard library has no words for: epoll, eventfd, `recvmmsg` with `UDP_GRO`, `sendmmsg`
//! with `UDP_SEGMENT`. All `unsafe` of the
//! relay is here and in `errors`.

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use tandem_stun::wire::Head;

use super::errors;

/// Waits for many descriptors.
pub(super) struct Epoll {
    fd: OwnedFd,
    events: Vec<libc::epoll_event>,
}

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interest {
    Read,
    ReadAndWrite,
}

impl Interest {
    fn bits(self) -> u32 {
        let bits = match self {
            Self::Read => libc::EPOLLIN | libc::EPOLLRDHUP,
            Self::ReadAndWrite => libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLOUT,
        };
        bits.cast_unsigned()
    }
}

impl Epoll {
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the descriptor is owned from here on.
        let fd = unsafe { OwnedFd::from_raw_fd(check(libc::epoll_create1(libc::EPOLL_CLOEXEC))?) };
        // SAFETY: an all-zero epoll_event is a valid value.
        let events = vec![unsafe { zeroed() }; 256];
        Ok(Self { fd, events })
    }

    pub(super) fn add(&self, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, token, interest)
    }

    pub(super) fn change(&self, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, token, interest)
    }

    fn control(&self, operation: libc::c_int, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        let mut event = libc::epoll_event { events: interest.bits(), u64: token };
        // SAFETY: `event` lives through the call, which copies it.
        check(unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), operation, fd, &raw mut event) })?;
        Ok(())
    }

    /// Tokens that are ready. A token may belong to a descriptor that has been closed since.
    pub(super) fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<u64>) -> io::Result<()> {
        let millis = timeout.map_or(-1, |time| {
            // Rounded up: waking before the deadline would spin.
            i32::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
        });
        let capacity = i32::try_from(self.events.len()).unwrap_or(i32::MAX);
        // SAFETY: the kernel writes at most `capacity` events into the buffer of that length.
        let count = unsafe { libc::epoll_wait(self.fd.as_raw_fd(), self.events.as_mut_ptr(), capacity, millis) };
        ready.clear();
        match check(count) {
            Ok(count) => {
                let count = usize::try_from(count).unwrap_or_default();
                ready.extend(self.events.iter().take(count).map(|event| event.u64));
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Wakes a shard from another thread.
pub(super) struct Wake {
    fd: OwnedFd,
}

impl Wake {
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the descriptor is owned from here on.
        let fd = unsafe { OwnedFd::from_raw_fd(check(libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK))?) };
        Ok(Self { fd })
    }

    pub(super) fn ring(&self) {
        let one = 1_u64.to_ne_bytes();
        // SAFETY: eight bytes are read from an array of eight. A full counter is still readable: nothing to handle.
        unsafe { libc::write(self.fd.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    pub(super) fn clear(&self) {
        let mut count = [0_u8; 8];
        // SAFETY: eight bytes are written into an array of eight. Nothing to read is no error here.
        unsafe { libc::read(self.fd.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
    }

    pub(super) fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// Options of every UDP socket; `wants_local` adds the local address to each datagram.
pub(super) fn prepare_udp(socket: &socket2::Socket, wants_local: bool, is_v4: bool) -> io::Result<()> {
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

pub(super) fn set_option(fd: RawFd, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of::<libc::c_int>()).unwrap_or_default();
    // SAFETY: the option is an int, and `value` lives through the call.
    check(unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), length) })?;
    Ok(())
}

/// Room for control messages; aligned as `cmsghdr` wants it.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; 128]);

/// Buffers for one `recvmmsg`.
pub(super) struct Receiver {
    bytes: Vec<u8>,
    names: Vec<libc::sockaddr_storage>,
    controls: Vec<Control>,
    vectors: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
    count: usize,
}

/// What came from one sender in one piece: one datagram, or several of `segment` bytes (the last may be shorter).
pub(super) struct Received<'a> {
    pub(super) from: SocketAddr,
    pub(super) local: Option<IpAddr>,
    pub(super) bytes: &'a [u8],
    segment: usize,
}

impl<'a> Received<'a> {
    pub(super) fn datagrams(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let size = if self.segment == 0 { self.bytes.len() } else { self.segment };
        // An empty datagram is one, too.
        self.bytes.chunks(size.max(1)).chain(self.bytes.is_empty().then_some(self.bytes))
    }
}

impl Receiver {
    pub(super) fn new() -> Self {
        // SAFETY: all-zero bytes are valid values of these C structures.
        let (name, vector, header) = unsafe { (zeroed(), zeroed(), zeroed()) };
        Self {
            bytes: vec![0; BATCH * DATAGRAM],
            names: vec![name; BATCH],
            controls: vec![Control([0; 128]); BATCH],
            vectors: vec![vector; BATCH],
            headers: vec![header; BATCH],
            count: 0,
        }
    }

    /// Reads what is there. `false`: nothing.
    pub(super) fn receive(&mut self, fd: RawFd) -> io::Result<bool> {
        self.count = 0;
        let slots = self.bytes.chunks_exact_mut(DATAGRAM).zip(&mut self.names).zip(&mut self.controls);
        for (((bytes, name), control), (vector, header)) in slots.zip(self.vectors.iter_mut().zip(&mut self.headers)) {
            *vector = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
            header.msg_len = 0;
            header.msg_hdr.msg_name = (&raw mut *name).cast();
            header.msg_hdr.msg_namelen = socklen(size_of::<libc::sockaddr_storage>());
            header.msg_hdr.msg_iov = &raw mut *vector;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = (&raw mut *control).cast();
            header.msg_hdr.msg_controllen = size_of::<Control>();
            header.msg_hdr.msg_flags = 0;
        }
        let room = libc::c_uint::try_from(BATCH).unwrap_or_default();
        // SAFETY: every header points to its own name, control and data buffer, all owned by `self` and not moved
        // during the call, with their true sizes.
        let count =
            unsafe { libc::recvmmsg(fd, self.headers.as_mut_ptr(), room, libc::MSG_DONTWAIT, std::ptr::null_mut()) };
        match check(count) {
            Ok(count) => {
                self.count = usize::try_from(count).unwrap_or_default();
                Ok(self.count > 0)
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether the batch was full: there may be more.
    pub(super) fn is_full(&self) -> bool {
        self.count == BATCH
    }

    /// What the last `receive` read.
    pub(super) fn iter(&self) -> impl Iterator<Item = Received<'_>> {
        let slots = self.headers.iter().zip(&self.names).zip(self.bytes.chunks_exact(DATAGRAM)).take(self.count);
        slots.filter_map(|((header, name), bytes)| {
            let length = usize::try_from(header.msg_len).ok()?;
            let (local, segment) = read_control(&header.msg_hdr);
            // A truncated datagram is no datagram; 64 KiB hold all there are.
            let whole = header.msg_hdr.msg_flags & libc::MSG_TRUNC == 0;
            let from = to_address(name).filter(|_| whole)?;
            Some(Received { from, local, bytes: bytes.get(..length)?, segment })
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
pub(super) struct Outgoing<'a> {
    pub(super) fd: RawFd,
    pub(super) to: SocketAddr,
    /// The local address to send from, where the socket has many.
    pub(super) source: Option<IpAddr>,
    pub(super) head: Head,
    pub(super) payload: &'a [u8],
    pub(super) padded: bool,
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

    fn same_flow(&self, other: &Self) -> bool {
        self.fd == other.fd && self.to == other.to && self.source == other.source
    }
}

/// Sends batches: runs of equal size to one destination leave as one segmented datagram.
pub(super) struct Sender {
    names: Vec<libc::sockaddr_storage>,
    controls: Vec<Control>,
    vectors: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
    /// Where each message's vectors begin, and how many packets it holds.
    runs: Vec<(usize, usize)>,
    segmentation: bool,
}

impl Sender {
    pub(super) fn new() -> Self {
        // SAFETY: all-zero bytes are valid values of these C structures.
        let (name, header) = unsafe { (zeroed(), zeroed()) };
        Self {
            names: vec![name; BATCH],
            controls: vec![Control([0; 128]); BATCH],
            vectors: Vec::new(),
            headers: vec![header; BATCH],
            runs: Vec::new(),
            segmentation: true,
        }
    }

    /// Sends all, in order within each flow; returns how many the kernel did not take.
    pub(super) fn send(&mut self, packets: &mut [Outgoing<'_>]) -> usize {
        // Flows that came interleaved leave as runs. The sort is stable: no packet overtakes another of its flow.
        packets.sort_by_key(|packet| (packet.fd, packet.to, packet.source));
        let mut lost = 0;
        let mut rest: &[Outgoing<'_>] = packets;
        while let Some(first) = rest.first() {
            let same_socket = rest.iter().take_while(|packet| packet.fd == first.fd).count();
            let (now, later) = rest.split_at(same_socket);
            lost += self.send_by_socket(first.fd, now);
            rest = later;
        }
        lost
    }

    fn send_by_socket(&mut self, fd: RawFd, packets: &[Outgoing<'_>]) -> usize {
        let (mut lost, mut rest, mut again) = (0, packets, 0);
        while !rest.is_empty() {
            let prepared = self.prepare(rest);
            let count = libc::c_uint::try_from(prepared).unwrap_or_default();
            // SAFETY: `prepare` has pointed the first `count` headers at names, controls and vectors owned by `self`,
            // and the vectors at bytes of `packets`; none of them moves before the call returns.
            let sent = unsafe { libc::sendmmsg(fd, self.headers.as_mut_ptr(), count, libc::MSG_DONTWAIT) };
            let done = usize::try_from(sent).unwrap_or_default();
            let taken: usize = self.runs.iter().take(done).map(|&(_, packets)| packets).sum();
            rest = rest.get(taken..).unwrap_or_default();
            if done > 0 {
                continue;
            }
            let failed = self.runs.first().map_or(1, |&(_, packets)| packets);
            match io::Error::last_os_error().raw_os_error() {
                Some(libc::EINTR) => {}
                // What an earlier packet, perhaps to another peer, has come to is told here: this one has not left yet.
                Some(code) if errors::is_of_earlier(code) && again < MAX_AGAIN => again += 1,
                // The device or path cannot segment: never again, but one by one.
                Some(libc::EIO | libc::EINVAL | libc::EMSGSIZE) if failed > 1 => self.segmentation = false,
                Some(libc::EAGAIN | libc::ENOBUFS) => return lost + rest.len(),
                _ => {
                    lost += failed;
                    rest = rest.get(failed..).unwrap_or_default();
                }
            }
        }
        lost
    }

    /// Fills headers for as many packets as fit one call; returns how many headers.
    fn prepare(&mut self, packets: &[Outgoing<'_>]) -> usize {
        self.vectors.clear();
        self.runs.clear();
        let mut rest = packets;
        while let Some(first) = rest.first().filter(|_| self.runs.len() < BATCH) {
            let run = if self.segmentation { run_length(first, rest) } else { 1 };
            self.runs.push((self.vectors.len(), run));
            let (now, later) = rest.split_at(run);
            for packet in now {
                for bytes in [packet.head.as_bytes(), packet.payload, PADDING.get(..packet.padding()).unwrap_or(&[])] {
                    // The kernel only reads through these vectors.
                    self.vectors.push(libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() });
                }
            }
            rest = later;
        }
        self.point_headers(packets);
        self.runs.len()
    }

    /// The vectors stand still from here on: point to them.
    fn point_headers(&mut self, packets: &[Outgoing<'_>]) {
        let mut rest = packets;
        let places = self.headers.iter_mut().zip(&mut self.names).zip(&mut self.controls);
        for (&(start, run), ((header, name), control)) in self.runs.iter().zip(places) {
            let Some(first) = rest.first() else { return };
            let namelen = write_address(name, first.to);
            let segment = (run > 1).then(|| first.size());
            header.msg_len = 0;
            header.msg_hdr.msg_name = (&raw mut *name).cast();
            header.msg_hdr.msg_namelen = namelen;
            header.msg_hdr.msg_iov =
                self.vectors.get_mut(start).map_or(std::ptr::null_mut(), |vector| &raw mut *vector);
            header.msg_hdr.msg_iovlen = run * 3;
            header.msg_hdr.msg_control = (&raw mut *control).cast();
            header.msg_hdr.msg_controllen = size_of::<Control>();
            header.msg_hdr.msg_controllen = write_control(&header.msg_hdr, first.source, segment);
            if header.msg_hdr.msg_controllen == 0 {
                header.msg_hdr.msg_control = std::ptr::null_mut();
            }
            rest = rest.get(run..).unwrap_or_default();
        }
    }
}

/// How many packets from the front can leave as one: same flow, same size, the last may be shorter.
fn run_length(first: &Outgoing<'_>, packets: &[Outgoing<'_>]) -> usize {
    let size = first.size();
    if size == 0 || size > MAX_SEGMENT {
        return 1;
    }
    let most = (MAX_RUN_BYTES / size).clamp(1, MAX_RUN);
    let mut length = 1;
    for packet in packets.iter().take(most).skip(1) {
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

/// Writes source address and segment size; returns the bytes used.
fn write_control(header: &libc::msghdr, source: Option<IpAddr>, segment: Option<usize>) -> usize {
    let mut used = 0;
    // SAFETY: the control buffer has 128 aligned bytes, and `msg_controllen` says so; at most an in6_pktinfo (20 bytes)
    // and a u16 are written, each behind its header, which takes 40 and 24 bytes.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
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
        if let Some(segment) = segment.and_then(|size| u16::try_from(size).ok()) {
            if used > 0 {
                message = message.cast::<u8>().add(used).cast();
            }
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

pub(super) fn to_address(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
    let place = &raw const *storage;
    match libc::c_int::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: a storage of this family holds a sockaddr_in, and is larger than one.
            let name: libc::sockaddr_in = unsafe { place.cast::<libc::sockaddr_in>().read() };
            let ip = Ipv4Addr::from_bits(u32::from_be(name.sin_addr.s_addr));
            Some(SocketAddrV4::new(ip, u16::from_be(name.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: a storage of this family holds a sockaddr_in6, and is larger than one.
            let name: libc::sockaddr_in6 = unsafe { place.cast::<libc::sockaddr_in6>().read() };
            let ip = Ipv6Addr::from(name.sin6_addr.s6_addr);
            // The flow label is no part of who somebody is; the scope of a link-local address is.
            Some(SocketAddrV6::new(ip, u16::from_be(name.sin6_port), 0, name.sin6_scope_id).into())
        }
        _ => None,
    }
}

pub(super) fn write_address(storage: &mut libc::sockaddr_storage, address: SocketAddr) -> libc::socklen_t {
    let place = &raw mut *storage;
    match address {
        SocketAddr::V4(address) => {
            // SAFETY: the storage is larger than a sockaddr_in and aligned for it.
            let name = unsafe { &mut *place.cast::<libc::sockaddr_in>() };
            name.sin_family = libc::AF_INET.try_into().unwrap_or_default();
            name.sin_port = address.port().to_be();
            name.sin_addr.s_addr = address.ip().to_bits().to_be();
            name.sin_zero = [0; 8];
            socklen(size_of::<libc::sockaddr_in>())
        }
        SocketAddr::V6(address) => {
            // SAFETY: the storage is larger than a sockaddr_in6 and aligned for it.
            let name = unsafe { &mut *place.cast::<libc::sockaddr_in6>() };
            name.sin6_family = libc::AF_INET6.try_into().unwrap_or_default();
            name.sin6_port = address.port().to_be();
            name.sin6_flowinfo = 0;
            name.sin6_addr.s6_addr = address.ip().octets();
            name.sin6_scope_id = address.scope_id();
            socklen(size_of::<libc::sockaddr_in6>())
        }
    }
}

pub(super) fn socklen(size: usize) -> libc::socklen_t {
    libc::socklen_t::try_from(size).unwrap_or_default()
}

pub(super) fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Sends that are repeated because the kernel told of an earlier one instead.
const MAX_AGAIN: usize = 16;
/// Datagrams per call.
const BATCH: usize = 32;
/// GRO may merge up to 64 KiB.
const DATAGRAM: usize = 65_536;
/// The kernel's limit of segments (UDP_MAX_SEGMENTS).
const MAX_RUN: usize = 64;
/// Below the largest UDP payload.
const MAX_RUN_BYTES: usize = 65_000;
/// What fits a path of 1500 bytes. The kernel refuses larger segments, and nobody shall turn segmentation off for all
/// by sending two of them.
const MAX_SEGMENT: usize = 1_400;
const PADDING: [u8; 3] = [0; 3];
