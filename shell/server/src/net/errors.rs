//! What relay sockets learn of their path: ICMP errors (`IP_RECVERR`), and packets that may not be fragmented.
//!
//! Packets leave with DF clear (RFC 8656 §15, the alternate behaviour) unless the client says DONT-FRAGMENT.

use std::io;
use std::mem::{size_of, zeroed};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};

use tandem_stun::turn::IcmpError;

use super::call::{check, set_option, socklen, to_address, write_address};

/// Options of a relay socket.
pub(crate) fn prepare(socket: &socket2::Socket, is_v4: bool) -> io::Result<()> {
    let fd = socket.as_raw_fd();
    if is_v4 {
        set_option(fd, libc::IPPROTO_IP, libc::IP_RECVERR, 1)?;
    } else {
        set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 1)?;
    }
    set_fragmentation(fd, is_v4, Path::Fragmenting)
}

/// What routers and we ourselves may do with a packet that is too big.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Path {
    Fragmenting,
    Whole,
}

fn set_fragmentation(fd: RawFd, is_v4: bool, path: Path) -> io::Result<()> {
    // OMIT, not DONT: only then ICMP errors about packets that were too big are told.
    match (is_v4, path) {
        (true, Path::Fragmenting) => set_option(fd, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_OMIT),
        // PROBE sets DF and ignores what is known of the path: the client measures it.
        (true, Path::Whole) => set_option(fd, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE),
        (false, Path::Fragmenting) => {
            set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_OMIT)
        }
        (false, Path::Whole) => set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_PROBE),
    }
}

/// Sends one datagram with DF set. Rare: clients do so to probe a path.
pub(crate) fn send_unfragmented(fd: RawFd, to: SocketAddr, payload: &[u8]) -> io::Result<()> {
    set_fragmentation(fd, to.is_ipv4(), Path::Whole)?;
    // SAFETY: all-zero bytes are a valid sockaddr_storage.
    let mut name = unsafe { zeroed() };
    let length = write_address(&mut name, to);
    let mut sent = Err(io::ErrorKind::WouldBlock.into());
    for _ in 0..2 {
        // SAFETY: payload and name live through the call and have the lengths given.
        let result = unsafe {
            libc::sendto(
                fd,
                payload.as_ptr().cast(),
                payload.len(),
                libc::MSG_DONTWAIT,
                (&raw const name).cast(),
                length,
            )
        };
        sent = if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
        let of_earlier = |error: &io::Error| error.raw_os_error().is_some_and(is_of_earlier);
        if !sent.as_ref().is_err_and(of_earlier) {
            break;
        }
    }
    set_fragmentation(fd, to.is_ipv4(), Path::Fragmenting)?;
    sent
}

/// Whether a failed send may be about an earlier packet: the kernel tells of an ICMP error at the next call.
pub(crate) fn is_of_earlier(code: libc::c_int) -> bool {
    matches!(
        code,
        libc::ECONNREFUSED
            | libc::EHOSTUNREACH
            | libc::ENETUNREACH
            | libc::EHOSTDOWN
            | libc::ENOPROTOOPT
            | libc::EPROTO
            | libc::EACCES
            | libc::EMSGSIZE
    )
}

/// Takes one error from a socket's queue. `None`: there is none; `Some(None)`: one that clients are not told.
pub(crate) fn receive(fd: RawFd) -> Option<Option<IcmpError>> {
    let mut control = Control([0; 512]);
    // SAFETY: all-zero bytes are valid values of these C structures.
    let (mut name, mut header): (libc::sockaddr_storage, libc::msghdr) = unsafe { (zeroed(), zeroed()) };
    header.msg_name = (&raw mut name).cast();
    header.msg_namelen = socklen(size_of::<libc::sockaddr_storage>());
    header.msg_control = (&raw mut control).cast();
    header.msg_controllen = size_of::<Control>();
    // SAFETY: the header points to a name and a control buffer that live through the call, with their true sizes. The
    // packet that failed is not wanted: no data buffer.
    let result = unsafe { libc::recvmsg(fd, &raw mut header, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT) };
    check(libc::c_int::try_from(result).unwrap_or(0)).ok()?;
    let peer = to_address(&name);
    Some(peer.and_then(|peer| error_to(peer, extended(&header)?)))
}

fn error_to(peer: SocketAddr, extended: libc::sock_extended_err) -> Option<IcmpError> {
    let mtu = if libc::c_int::try_from(extended.ee_errno) == Ok(libc::EMSGSIZE) { extended.ee_info } else { 0 };
    match (extended.ee_origin, peer) {
        (libc::SO_EE_ORIGIN_ICMP | libc::SO_EE_ORIGIN_ICMP6, _) => {
            Some(IcmpError { peer, kind: extended.ee_type, code: extended.ee_code, mtu })
        }
        // Too big for our own link: what a router would say, destination unreachable, fragmentation needed.
        (libc::SO_EE_ORIGIN_LOCAL, SocketAddr::V4(_)) if mtu > 0 => Some(IcmpError { peer, kind: 3, code: 4, mtu }),
        (libc::SO_EE_ORIGIN_LOCAL, SocketAddr::V6(_)) if mtu > 0 => Some(IcmpError { peer, kind: 2, code: 0, mtu }),
        _ => None,
    }
}

fn extended(header: &libc::msghdr) -> Option<libc::sock_extended_err> {
    // SAFETY: the kernel has filled the control buffer and set its length; the macros stay inside it.
    let mut message = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !message.is_null() {
        // SAFETY: `message` points into the control buffer; a payload of this level and type is a sock_extended_err.
        unsafe {
            if matches!(
                ((*message).cmsg_level, (*message).cmsg_type),
                (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)
            ) {
                return Some(libc::CMSG_DATA(message).cast::<libc::sock_extended_err>().read_unaligned());
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
    None
}

/// Room for an extended error, the address of who sent it, and what else the socket adds.
#[repr(C, align(8))]
struct Control([u8; 512]);
