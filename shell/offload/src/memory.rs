//! Tables that the program and we have in common memory: arrays of words, each read and written whole.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// An array of the kernel's in our memory.
#[derive(Clone)]
pub(crate) struct Words(Arc<Mapping>);

struct Mapping {
    start: *mut AtomicU64,
    words: usize,
    bytes: usize,
}

// SAFETY: the memory is shared with the kernel anyway, and every access to it is atomic.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Words {
    /// Maps the first `words` of an array made with `BPF_F_MMAPABLE`.
    pub(crate) fn map(fd: BorrowedFd<'_>, words: usize) -> io::Result<Self> {
        let bytes = words.saturating_mul(size_of::<u64>());
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping of the kernel's choice; the file is as long, or the kernel refuses.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, libc::MAP_SHARED, fd.as_raw_fd(), 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self(Arc::new(Mapping { start: start.cast(), words, bytes })))
    }

    /// All words.
    pub(crate) fn all(&self) -> &[AtomicU64] {
        // SAFETY: mapped from a page boundary on, that long, until dropped; zero at first, and written atomically only.
        unsafe { std::slice::from_raw_parts(self.0.start, self.0.words) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by us with this length, and nobody has a reference any more.
        unsafe { libc::munmap(self.start.cast(), self.bytes) };
    }
}
