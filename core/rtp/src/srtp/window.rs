//! Which packets of a stream have been (RFC 3711 §3.3.2), and where a sequence number belongs (§3.3.1).

/// The last [`SIZE`] indices of a stream.
#[derive(Clone, Debug)]
pub(super) struct Window {
    /// The highest index there was, ROC and sequence number for media.
    highest: u64,
    /// One bit for each of them, at its index modulo the size.
    seen: [u64; WORDS],
}

/// Why an index is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stale {
    Seen,
    TooOld,
}

impl Window {
    /// A stream whose first packet has this index.
    pub(super) fn new(first: u64) -> Self {
        let mut window = Self { highest: first, seen: [0; WORDS] };
        window.mark(first);
        window
    }

    /// A stream of which nothing has been seen, that goes on from this rollover counter.
    pub(super) fn at_rollover(roc: u32, wire: u16) -> Self {
        Self { highest: u64::from(roc) << 16 | u64::from(wire), seen: [0; WORDS] }
    }

    /// The index nearest to the highest that has this sequence number; nothing if that lies before the beginning.
    pub(super) fn index_of(&self, wire: u16) -> Option<u64> {
        let [.., high, low] = self.highest.to_be_bytes();
        let step = wire.wrapping_sub(u16::from_be_bytes([high, low])).cast_signed();
        self.highest.checked_add_signed(i64::from(step))
    }

    pub(super) const fn highest(&self) -> u64 {
        self.highest
    }

    pub(super) fn check(&self, index: u64) -> Result<(), Stale> {
        if index > self.highest {
            return Ok(());
        }
        if self.highest - index >= SIZE {
            return Err(Stale::TooOld);
        }
        let (word, bit) = place(index);
        let seen = self.seen.get(word).is_some_and(|word| word & bit != 0);
        if seen { Err(Stale::Seen) } else { Ok(()) }
    }

    /// Only after [`Window::check`], and only for what has been authenticated.
    pub(super) fn mark(&mut self, index: u64) {
        if index > self.highest {
            self.forget(index - self.highest);
            self.highest = index;
        }
        let (word, bit) = place(index);
        if let Some(word) = self.seen.get_mut(word) {
            *word |= bit;
        }
    }

    /// Makes room for indices above the highest.
    fn forget(&mut self, step: u64) {
        if step >= SIZE {
            self.seen = [0; WORDS];
            return;
        }
        for index in self.highest + 1..=self.highest + step {
            let (word, bit) = place(index);
            if let Some(word) = self.seen.get_mut(word) {
                *word &= !bit;
            }
        }
    }
}

fn place(index: u64) -> (usize, u64) {
    let place = index % SIZE;
    // Below 16: it fits.
    (usize::try_from(place / 64).unwrap_or(0), 1 << (place % 64))
}

const WORDS: usize = 16;
const SIZE: u64 = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_index_passes_once() {
        let mut window = Window::new(100);
        assert_eq!(window.check(100), Err(Stale::Seen));
        for index in [101, 99, 1_500, 600, 477] {
            assert_eq!(window.check(index), Ok(()), "{index}");
            window.mark(index);
            assert_eq!(window.check(index), Err(Stale::Seen), "{index}");
        }
        assert_eq!((window.check(476), window.check(478)), (Err(Stale::TooOld), Ok(())));
        window.mark(1_500 + 5_000);
        assert_eq!(window.check(1_500 + 5_000 - 1_023), Ok(()), "all that is in between is unseen");
    }

    #[test]
    fn indices_follow_the_rollover() {
        let window = Window::new(0x1_fffe);
        assert_eq!((window.index_of(0xffff), window.index_of(2)), (Some(0x1_ffff), Some(0x2_0002)));
        assert_eq!(window.index_of(0xf000), Some(0x1_f000));
        let begun = Window::new(2);
        assert_eq!(begun.index_of(0xffff), None, "nothing comes before the first rollover");
        assert_eq!(Window::at_rollover(7, 0).index_of(0xffff), Some(0x6_ffff));
        assert_eq!(Window::at_rollover(7, 9).check(0x7_0009), Ok(()));
    }
}
