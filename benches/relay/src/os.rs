//! What the standard library has no words for: epoll, batches of datagrams with `UDP_GRO` and `UDP_SEGMENT`, processors,
//! and a process's accounts. All `unsafe` of the bench is here.

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::RawFd;

use anyhow::Context as _;

/// Room for one datagram, or for as many as GRO merges.
const SLOT: usize = 65_536;

/// Buffers for batches of datagrams.
pub struct Batch {
    bytes: Vec<u8>,
    names: Vec<libc::sockaddr_in>,
    controls: Vec<[u64; 8]>,
    vectors: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
    count: usize,
}

/// One datagram, or several of `segment` bytes each.
pub struct Piece<'a> {
    pub from: SocketAddrV4,
    pub bytes: &'a [u8],
    pub segment: usize,
}

impl Piece<'_> {
    /// How many datagrams it is.
    pub fn count(&self) -> usize {
        self.bytes.len().div_ceil(self.segment.max(1)).max(1)
    }
}

impl Batch {
    pub fn new(slots: usize) -> Self {
        // SAFETY: all-zero bytes are valid values of these C structures.
        let (name, vector, header) = unsafe { (zeroed(), zeroed(), zeroed()) };
        Self {
            bytes: vec![0; slots * SLOT],
            names: vec![name; slots],
            controls: vec![[0; 8]; slots],
            vectors: vec![vector; slots],
            headers: vec![header; slots],
            count: 0,
        }
    }

    /// Reads as much as waits, at most `most` pieces; returns how many.
    pub fn receive(&mut self, fd: RawFd, most: usize) -> usize {
        let most = most.min(self.headers.len());
        for index in 0..most {
            let vector = &mut self.vectors[index];
            vector.iov_base = self.bytes[index * SLOT..].as_mut_ptr().cast();
            vector.iov_len = SLOT;
            let header = &mut self.headers[index].msg_hdr;
            header.msg_name = (&raw mut self.names[index]).cast();
            header.msg_namelen = size_of::<libc::sockaddr_in>() as u32;
            header.msg_iov = &raw mut self.vectors[index];
            header.msg_iovlen = 1;
            header.msg_control = self.controls[index].as_mut_ptr().cast();
            header.msg_controllen = size_of::<[u64; 8]>();
            header.msg_flags = 0;
        }
        // SAFETY: the first `most` headers point to buffers owned by `self`, with their true sizes.
        let count = unsafe {
            libc::recvmmsg(fd, self.headers.as_mut_ptr(), most as u32, libc::MSG_DONTWAIT, std::ptr::null_mut())
        };
        self.count = usize::try_from(count).unwrap_or(0);
        self.count
    }

    pub fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        (0..self.count).map(|index| {
            let length = self.headers[index].msg_len as usize;
            let bytes = &self.bytes[index * SLOT..][..length];
            let segment = match segment_size(&self.headers[index].msg_hdr) {
                0 => length,
                size => size,
            };
            Piece { from: address(&self.names[index]), bytes, segment }
        })
    }

    /// Sends what was received back to where it came from, in the same pieces; returns how many datagrams that is.
    pub fn echo(&mut self, fd: RawFd) -> usize {
        let mut datagrams = 0;
        for index in 0..self.count {
            let length = self.headers[index].msg_len as usize;
            let segment = segment_size(&self.headers[index].msg_hdr);
            self.vectors[index].iov_len = length;
            datagrams += length.div_ceil(if segment == 0 { length.max(1) } else { segment });
            let header = &mut self.headers[index].msg_hdr;
            header.msg_controllen = 0;
            if segment > 0 && segment < length {
                header.msg_controllen = size_of::<[u64; 8]>();
                put_segment(header, segment);
            }
            if header.msg_controllen == 0 {
                header.msg_control = std::ptr::null_mut();
            }
        }
        let mut done = 0;
        while done < self.count {
            // SAFETY: headers `done..count` have been filled by `receive` and point to buffers owned by `self`.
            let sent = unsafe {
                libc::sendmmsg(fd, self.headers[done..].as_mut_ptr(), (self.count - done) as u32, libc::MSG_DONTWAIT)
            };
            if sent <= 0 {
                break;
            }
            done += sent as usize;
        }
        datagrams
    }
}

fn segment_size(header: &libc::msghdr) -> usize {
    // SAFETY: the kernel has filled the control buffer and set its length; the macros stay inside it.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while !message.is_null() {
            if ((*message).cmsg_level, (*message).cmsg_type) == (libc::SOL_UDP, libc::UDP_GRO) {
                return libc::CMSG_DATA(message).cast::<libc::c_int>().read_unaligned() as usize;
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
    0
}

fn put_segment(header: &mut libc::msghdr, segment: usize) {
    // SAFETY: the control buffer has 64 aligned bytes; one header and a u16 are written.
    unsafe {
        let message = libc::CMSG_FIRSTHDR(header);
        (*message).cmsg_level = libc::SOL_UDP;
        (*message).cmsg_type = libc::UDP_SEGMENT;
        (*message).cmsg_len = libc::CMSG_LEN(2) as usize;
        libc::CMSG_DATA(message).cast::<u16>().write_unaligned(segment as u16);
        header.msg_controllen = libc::CMSG_SPACE(2) as usize;
    }
}

/// Sends parts as datagrams of `segment` bytes, in one call. `false`: the kernel did not take them.
pub fn send_segments(fd: RawFd, to: SocketAddrV4, parts: &[&[u8]], segment: Option<usize>) -> bool {
    let mut name = name(to);
    let mut control = [0_u64; 8];
    let mut vectors: Vec<libc::iovec> = Vec::with_capacity(parts.len());
    vectors.extend(
        parts.iter().map(|part| libc::iovec { iov_base: part.as_ptr().cast_mut().cast(), iov_len: part.len() }),
    );
    // SAFETY: all-zero bytes are a valid msghdr; every pointer set below outlives the call, which only reads.
    unsafe {
        let mut header: libc::msghdr = zeroed();
        header.msg_name = (&raw mut name).cast();
        header.msg_namelen = size_of::<libc::sockaddr_in>() as u32;
        header.msg_iov = vectors.as_mut_ptr();
        header.msg_iovlen = vectors.len();
        if let Some(segment) = segment {
            header.msg_control = control.as_mut_ptr().cast();
            header.msg_controllen = size_of::<[u64; 8]>();
            put_segment(&mut header, segment);
        }
        libc::sendmsg(fd, &raw const header, libc::MSG_DONTWAIT) >= 0
    }
}

/// Sends `bytes` on a connected socket as datagrams of `size` bytes, one by one in one call; returns how many left.
pub fn send_plain(fd: RawFd, bytes: &[u8], size: usize) -> usize {
    let mut vectors: Vec<libc::iovec> = bytes
        .chunks(size)
        .map(|part| libc::iovec { iov_base: part.as_ptr().cast_mut().cast(), iov_len: part.len() })
        .collect();
    // SAFETY: all-zero bytes are a valid mmsghdr; each header points to one vector, and both outlive the call.
    unsafe {
        let mut headers: Vec<libc::mmsghdr> = vec![zeroed(); vectors.len()];
        for (header, vector) in headers.iter_mut().zip(&mut vectors) {
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
        }
        usize::try_from(libc::sendmmsg(fd, headers.as_mut_ptr(), headers.len() as u32, libc::MSG_DONTWAIT)).unwrap_or(0)
    }
}

fn name(address: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(*address.ip()).to_be() },
        sin_zero: [0; 8],
    }
}

fn address(name: &libc::sockaddr_in) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::from(u32::from_be(name.sin_addr.s_addr)), u16::from_be(name.sin_port))
}

/// Sets an option of UDP.
pub fn set_udp(fd: RawFd, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    set(fd, libc::SOL_UDP, option, value)
}

/// As large buffers as root may have.
pub fn set_buffers(fd: RawFd) {
    for option in [libc::SO_RCVBUFFORCE, libc::SO_SNDBUFFORCE] {
        let _ = set(fd, libc::SOL_SOCKET, option, 8 << 20);
    }
}

fn set(fd: RawFd, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    // SAFETY: the option is an int, and `value` lives through the call.
    check(unsafe { libc::setsockopt(fd, level, option, (&raw const value).cast(), size_of::<libc::c_int>() as u32) })?;
    Ok(())
}

/// Waits for many descriptors, or rather does not wait.
pub struct Epoll {
    fd: RawFd,
    events: Vec<libc::epoll_event>,
}

impl Epoll {
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers; an all-zero epoll_event is a valid value.
        let (fd, event) = unsafe { (check(libc::epoll_create1(libc::EPOLL_CLOEXEC))?, zeroed()) };
        Ok(Self { fd, events: vec![event; 256] })
    }

    pub fn add(&self, fd: RawFd, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: token };
        // SAFETY: `event` lives through the call, which copies it.
        check(unsafe { libc::epoll_ctl(self.fd, libc::EPOLL_CTL_ADD, fd, &raw mut event) })?;
        Ok(())
    }

    /// What is ready now, or within `millis`.
    pub fn ready(&mut self, millis: i32, tokens: &mut Vec<u64>) {
        // SAFETY: the kernel writes at most as many events as the buffer has room for.
        let count = unsafe { libc::epoll_wait(self.fd, self.events.as_mut_ptr(), self.events.len() as i32, millis) };
        tokens.clear();
        tokens.extend(self.events.iter().take(usize::try_from(count).unwrap_or(0)).map(|event| event.u64));
    }
}

impl Drop for Epoll {
    fn drop(&mut self) {
        // SAFETY: the descriptor is ours and used by nobody afterwards.
        unsafe { libc::close(self.fd) };
    }
}

/// Keeps the calling thread, and what it starts, on one processor.
pub fn pin(processor: usize) -> io::Result<()> {
    // SAFETY: all-zero bytes are an empty cpu_set_t; the macro writes inside it.
    unsafe {
        let mut set: libc::cpu_set_t = zeroed();
        libc::CPU_SET(processor, &mut set);
        check(libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set))?;
    }
    Ok(())
}

/// Gives the calling thread, and what it opens and starts, a network namespace of its own.
pub fn leave_network() -> io::Result<()> {
    // SAFETY: concerns the calling thread alone.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) })?;
    Ok(())
}

/// Names the calling thread to other programs.
pub fn thread_id() -> libc::pid_t {
    // SAFETY: no arguments, no effects.
    unsafe { libc::gettid() }
}

/// Runs the calling thread, and what it starts, before ordinary processes.
pub fn set_realtime() -> io::Result<()> {
    let parameter = libc::sched_param { sched_priority: 10 };
    // SAFETY: the parameter lives through the call.
    check(unsafe { libc::sched_setscheduler(0, libc::SCHED_RR, &raw const parameter) })?;
    Ok(())
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Processor time of all threads of a process so far, in nanoseconds.
pub fn processor_time(pid: u32) -> anyhow::Result<u64> {
    let mut sum = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).context("the server has ended")? {
        let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
        sum += text.split(' ').next().unwrap_or_default().parse::<u64>().context("schedstat")?;
    }
    Ok(sum)
}

/// Time that programs of a process inside the kernel have run so far, in nanoseconds, where the kernel keeps account of it.
pub fn kernel_program_time(pid: u32) -> anyhow::Result<u64> {
    let mut programs = std::collections::BTreeMap::new();
    for file in std::fs::read_dir(format!("/proc/{pid}/fdinfo")).context("the server has ended")? {
        let Ok(text) = std::fs::read_to_string(file?.path()) else { continue };
        let field = |name: &str| {
            let line = text.lines().find(|line| line.split(':').next() == Some(name))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        };
        if let (Some(id), Some(time)) = (field("prog_id"), field("run_time_ns")) {
            programs.insert(id, time);
        }
    }
    Ok(programs.values().sum())
}

/// Has the kernel keep that account, or not.
pub fn set_kernel_program_accounts(on: bool) -> io::Result<()> {
    std::fs::write("/proc/sys/kernel/bpf_stats_enabled", if on { "1" } else { "0" })
}

/// Resident memory of a process, in bytes.
pub fn resident(pid: u32) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).context("the server has ended")?;
    let pages: u64 = text.split(' ').nth(1).unwrap_or_default().parse().context("statm")?;
    Ok(pages * 4_096)
}
