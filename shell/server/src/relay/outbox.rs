//! Frames that wait for a stream's socket. When the client reads too slowly the oldest are lost, whole and counted: late
//! media is worth nothing, the newest frame is.

use tandem_stun::wire::{self, Frame, Head};

/// Of one stream; bytes before encryption.
#[derive(Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    /// How many have been taken.
    written: usize,
    /// Where the first frame begins of which nothing has been taken.
    whole: usize,
}

impl Outbox {
    /// What waits.
    pub(super) fn waiting(&self) -> &[u8] {
        self.bytes.get(self.written..).unwrap_or_default()
    }

    /// What waits, and how many bytes of it end the frame that has begun to leave.
    pub(super) fn into_rest(mut self) -> (Vec<u8>, usize) {
        let begun = self.whole.saturating_sub(self.written);
        self.bytes.drain(..self.written.min(self.bytes.len()));
        (self.bytes, begun)
    }

    /// The same again.
    pub(super) fn of_rest((bytes, begun): (Vec<u8>, usize)) -> Self {
        Self { whole: begun.min(bytes.len()), bytes, written: 0 }
    }

    /// Adds a frame; returns how many had to be given up for it.
    pub(super) fn push(&mut self, head: Head, payload: &[u8], padded: bool) -> u64 {
        let unpadded = head.as_bytes().len() + payload.len();
        let size = if padded { unpadded.next_multiple_of(4) } else { unpadded };
        if self.written > 0 {
            self.bytes.drain(..self.written);
            self.whole = self.whole.saturating_sub(self.written);
            self.written = 0;
        }
        let lost = if self.bytes.len() + size > MAX { self.give_up(size) } else { 0 };
        self.bytes.extend_from_slice(head.as_bytes());
        self.bytes.extend_from_slice(payload);
        self.bytes.resize(self.bytes.len() + size - unpadded, 0);
        lost
    }

    /// Drops the oldest whole frames; many at once, because what is behind them moves up.
    fn give_up(&mut self, size: usize) -> u64 {
        let wanted = size.max(MAX / 4);
        let (mut end, mut frames) = (self.whole, 0);
        while end - self.whole < wanted {
            let Ok(Frame::Whole { padded, .. }) = wire::frame(self.bytes.get(end..).unwrap_or_default()) else { break };
            end += padded;
            frames += 1;
        }
        self.bytes.drain(self.whole..end);
        frames
    }

    /// The socket has taken so many bytes.
    pub(super) fn take(&mut self, count: usize) {
        self.written += count;
        if self.written >= self.bytes.len() {
            self.bytes.clear();
            self.bytes.shrink_to(KEPT);
            (self.written, self.whole) = (0, 0);
        }
        while self.whole < self.written {
            match wire::frame(self.bytes.get(self.whole..).unwrap_or_default()) {
                Ok(Frame::Whole { padded, .. }) => self.whole += padded,
                _ => self.whole = self.bytes.len(),
            }
        }
    }
}

/// A quarter of a second of video at 8 Mbit/s.
const MAX: usize = 256 * 1_024;
/// Buffer that an idle connection keeps.
const KEPT: usize = 2 * 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    fn push(outbox: &mut Outbox, number: u16) -> u64 {
        let payload = [number.to_be_bytes(); 500].concat();
        outbox.push(Head::channel_data(0x4000, 1_000), &payload, true)
    }

    fn numbers(mut bytes: &[u8]) -> Vec<u16> {
        let mut found = Vec::new();
        while let Ok(Frame::Whole { padded, .. }) = wire::frame(bytes) {
            found.push(u16::from_be_bytes([bytes[4], bytes[5]]));
            bytes = &bytes[padded..];
        }
        assert!(bytes.is_empty(), "a torn frame");
        found
    }

    #[test]
    fn a_slow_client_loses_the_oldest_frames_and_each_is_counted() {
        let mut outbox = Outbox::default();
        let lost: u64 = (0..1_000).map(|number| push(&mut outbox, number)).sum();
        assert!(outbox.waiting().len() <= MAX);
        let left = numbers(outbox.waiting());
        assert_eq!(u64::try_from(left.len()).expect("few") + lost, 1_000);
        assert_eq!(left.last(), Some(&999));
        assert!(left.windows(2).all(|pair| pair[1] == pair[0] + 1), "a hole among {left:?}");
    }

    #[test]
    fn a_frame_that_has_begun_to_leave_leaves_whole() {
        let mut outbox = Outbox::default();
        push(&mut outbox, 0);
        push(&mut outbox, 1);
        outbox.take(1_500);
        let lost: u64 = (2..1_000).map(|number| push(&mut outbox, number)).sum();
        assert!(lost > 0);
        let rest_of_second = &outbox.waiting()[..508];
        assert_eq!(rest_of_second, [1_u16.to_be_bytes(); 254].concat());
        let left = numbers(&outbox.waiting()[508..]);
        assert_eq!(u64::try_from(left.len()).expect("few") + lost, 998);
        assert_eq!(left.last(), Some(&999));
    }

    #[test]
    fn what_has_been_taken_is_gone() {
        let mut outbox = Outbox::default();
        push(&mut outbox, 7);
        outbox.take(4);
        assert_eq!(outbox.waiting().len(), 1_000);
        outbox.take(1_000);
        assert!(outbox.waiting().is_empty());
        push(&mut outbox, 8);
        assert_eq!(numbers(outbox.waiting()), [8]);
    }
}
