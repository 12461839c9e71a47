//! Descriptors that outlive the program, and the file in memory that says what they are: the few system calls for it.

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};

use crate::net::call::check;

/// A file that is nowhere but in memory.
pub(super) fn memory_file() -> io::Result<OwnedFd> {
    // SAFETY: the name is a C string that outlives the call; the descriptor is owned from here on.
    unsafe { Ok(OwnedFd::from_raw_fd(check(libc::memfd_create(c"tandem-handover".as_ptr(), libc::MFD_CLOEXEC))?)) }
}

/// Whether a program that this process turns into has the descriptor, too.
pub(super) fn set_inherited(fd: RawFd, inherited: bool) -> io::Result<()> {
    let flags = if inherited { 0 } else { libc::FD_CLOEXEC };
    // SAFETY: no pointers. A number that is not open is an error.
    check(unsafe { libc::fcntl(fd, libc::F_SETFD, flags) })?;
    Ok(())
}

/// Takes a descriptor that the program before has left open, and that nothing else here owns.
pub(super) fn take_over(fd: RawFd) -> io::Result<OwnedFd> {
    set_inherited(fd, false)?;
    // SAFETY: it is open, as has just been seen; the caller has taken no other one of this number.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
