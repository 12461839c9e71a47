//! What system calls take and give: results, options, addresses.

use std::io;
use std::mem::size_of;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::RawFd;

pub(crate) fn set_option(fd: RawFd, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of::<libc::c_int>()).unwrap_or_default();
    // SAFETY: the option is an int, and `value` lives through the call.
    check(unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), length) })?;
    Ok(())
}

pub(crate) fn to_address(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
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

pub(crate) fn write_address(storage: &mut libc::sockaddr_storage, address: SocketAddr) -> libc::socklen_t {
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

pub(crate) fn socklen(size: usize) -> libc::socklen_t {
    libc::socklen_t::try_from(size).unwrap_or_default()
}

pub(crate) fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
