//! Passing bytes from one socket to another without copying them through user space: `splice`, by a pipe that a shard
//! has for all its pairs. After each passing the pipe is empty.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use crate::net::call::check;

/// The two ends of a pipe.
pub(super) struct Pipe {
    out: File,
    into: File,
}

impl Pipe {
    pub(super) fn new() -> io::Result<Self> {
        let mut ends = [0; 2];
        // SAFETY: two descriptors are written into an array of two.
        check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) })?;
        // SAFETY: both are open and owned from here on.
        let [out, into] = ends.map(|end| File::from(unsafe { OwnedFd::from_raw_fd(end) }));
        // Room for many small segments, too. As it is made it holds sixteen, which is enough to work.
        // SAFETY: no pointers.
        let _ = check(unsafe { libc::fcntl(into.as_raw_fd(), libc::F_SETPIPE_SZ, ROOM) });
        Ok(Self { out, into })
    }

    /// Passes on what one socket has, at most `most` bytes; what the other does not take is added to `unsent`. Tells how
    /// many bytes that was together; none means that the socket has ended.
    pub(super) fn pass(&self, from: RawFd, to: RawFd, most: usize, unsent: &mut Vec<u8>) -> io::Result<usize> {
        let count = splice(from, self.into.as_raw_fd(), most)?;
        let mut left = count;
        let mut outcome = Ok(());
        while left > 0 {
            match splice(self.out.as_raw_fd(), to, left) {
                Ok(0) => break,
                Ok(taken) => left = left.saturating_sub(taken),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        if left > 0 {
            // Also after an error: the pipe is for others, too.
            let start = unsent.len();
            unsent.resize(start + left, 0);
            (&self.out).read_exact(unsent.get_mut(start..).unwrap_or_default())?;
        }
        outcome.map(|()| count)
    }
}

fn splice(from: RawFd, to: RawFd, most: usize) -> io::Result<usize> {
    let flags = libc::SPLICE_F_NONBLOCK | libc::SPLICE_F_MOVE;
    // SAFETY: no pointers but the two for offsets, which pipes and sockets have none of.
    let count = unsafe { libc::splice(from, std::ptr::null_mut(), to, std::ptr::null_mut(), most, flags) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

const ROOM: libc::c_int = 256 * 1_024;

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn pair() -> (UnixStream, UnixStream) {
        let (one, other) = UnixStream::pair().expect("a pair of sockets");
        for end in [&one, &other] {
            end.set_nonblocking(true).expect("a mode");
        }
        (one, other)
    }

    #[test]
    fn what_is_not_taken_is_kept_and_the_pipe_is_empty_for_the_next() {
        let pipe = Pipe::new().expect("a pipe");
        let ((mut sender, from), (to, mut receiver)) = (pair(), pair());
        let (mut sent, mut unsent) = (0_usize, Vec::new());
        while unsent.is_empty() {
            let piece: Vec<u8> = (sent..sent + 10_000).map(|at| u8::try_from(at % 251).unwrap_or_default()).collect();
            sender.write_all(&piece).expect("room");
            let mut passed = 0;
            while passed < piece.len() {
                passed += pipe.pass(from.as_raw_fd(), to.as_raw_fd(), 65_536, &mut unsent).expect("passed");
            }
            sent += piece.len();
        }
        let mut heard = vec![0; sent - unsent.len()];
        receiver.read_exact(&mut heard).expect("all that was taken");
        heard.extend(&unsent);
        assert!(heard.iter().zip(0_usize..).all(|(&byte, at)| usize::from(byte) == at % 251), "in order");
        let nothing = pipe.pass(from.as_raw_fd(), to.as_raw_fd(), 65_536, &mut unsent);
        assert_eq!(nothing.map_err(|error| error.kind()), Err(ErrorKind::WouldBlock));
        drop(sender);
        assert_eq!(pipe.pass(from.as_raw_fd(), to.as_raw_fd(), 65_536, &mut unsent).ok(), Some(0), "the end");
    }

    #[test]
    fn after_an_error_nothing_of_the_one_reaches_the_other() {
        let pipe = Pipe::new().expect("a pipe");
        let ((mut sender, from), (gone, closed)) = (pair(), pair());
        drop(closed);
        sender.write_all(b"lost").expect("room");
        assert!(pipe.pass(from.as_raw_fd(), gone.as_raw_fd(), 65_536, &mut Vec::new()).is_err());
        let (to, mut receiver) = pair();
        sender.write_all(b"mine").expect("room");
        assert_eq!(pipe.pass(from.as_raw_fd(), to.as_raw_fd(), 65_536, &mut Vec::new()).ok(), Some(4));
        let mut heard = [0; 10];
        let count = receiver.read(&mut heard).expect("bytes");
        assert_eq!(&heard[..count], b"mine");
    }
}
