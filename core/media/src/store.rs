//! What a stream has sent lately, decrypted: whoever lost a packet gets it from here, and so does the pacer when its turn has come.
//! One store serves all subscribers of a stream.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tandem_rtp::SeqNo;
use tandem_rtp::header::Header;

/// The last packets of one stream, by number. Memory grows with what is sent, up to a bound.
pub(crate) struct Store {
    bytes: Vec<u8>,
    /// In the order in which they came; places go up.
    entries: VecDeque<Entry>,
    /// Which entry has a number: the low bits of the number say where to look.
    index: Vec<u32>,
    /// Of the first of `entries`, counted since the beginning.
    first: u64,
    /// Bytes written since the beginning; the rest of a turn that was too short counts, too.
    written: u64,
    bound: Bound,
}

/// How much a store keeps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    /// Nobody asks for what is older.
    pub(crate) age: Duration,
    /// Bytes, whatever their age.
    pub(crate) bytes: usize,
}

#[derive(Clone, Copy)]
struct Entry {
    seq: SeqNo,
    header: Header,
    at: u64,
    length: u16,
    came: Instant,
}

/// A packet of the store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stored<'a> {
    pub(crate) header: Header,
    /// All of it, the publisher's header included.
    pub(crate) packet: &'a [u8],
}

impl Store {
    pub(crate) fn new(bound: Bound) -> Self {
        Self { bytes: Vec::new(), entries: VecDeque::new(), index: Vec::new(), first: 0, written: 0, bound }
    }

    /// Keeps a packet, and forgets what is too old or has to make room.
    pub(crate) fn put(&mut self, now: Instant, seq: SeqNo, header: Header, packet: &[u8]) {
        let Ok(length) = u16::try_from(packet.len()) else { return };
        self.forget(now);
        let Some(at) = self.room(packet.len()) else { return };
        let place = self.place(at);
        if let Some(room) = self.bytes.get_mut(place..place + packet.len()) {
            room.copy_from_slice(packet);
        }
        self.written = at + u64::from(length);
        let number = self.first + self.entries.len() as u64;
        self.entries.push_back(Entry { seq, header, at, length, came: now });
        self.enter(seq, number);
    }

    /// The packet with this number, if it is still there.
    pub(crate) fn get(&self, seq: SeqNo) -> Option<Stored<'_>> {
        let slot = *self.index.get(self.slot(seq)?)?;
        // Entries are counted in 32 bits; there are far fewer at a time.
        let behind = slot.wrapping_sub(low(self.first));
        let entry = self.entries.get(behind as usize).filter(|entry| entry.seq == seq)?;
        let place = self.place(entry.at);
        let packet = self.bytes.get(place..place + usize::from(entry.length))?;
        Some(Stored { header: entry.header, packet })
    }

    /// Bytes it holds in memory.
    #[cfg(test)]
    pub(crate) fn size(&self) -> usize {
        self.bytes.capacity() + self.index.capacity() * size_of::<u32>() + self.entries.capacity() * size_of::<Entry>()
    }

    fn forget(&mut self, now: Instant) {
        while self.entries.front().is_some_and(|entry| now.saturating_duration_since(entry.came) > self.bound.age) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        self.entries.pop_front();
        self.first += 1;
    }

    /// Where in the ring `length` bytes can lie in one piece, older packets having been forgotten or the ring enlarged.
    fn room(&mut self, length: usize) -> Option<u64> {
        if length > self.bound.bytes {
            return None;
        }
        loop {
            let size = self.bytes.len();
            if size > 0 {
                // In one piece: what is left of this turn may be too short.
                let left = size - self.place(self.written);
                let at = if left < length { self.written + left as u64 } else { self.written };
                let oldest = self.entries.front().map_or(at, |entry| entry.at);
                if length <= size && at + length as u64 - oldest <= size as u64 {
                    return Some(at);
                }
            }
            if size < self.bound.bytes {
                self.enlarge();
            } else if self.entries.is_empty() {
                return None;
            } else {
                self.drop_oldest();
            }
        }
    }

    /// Twice as many bytes; what is there moves to the front.
    fn enlarge(&mut self) {
        let size = (self.bytes.len() * 2).max(SMALLEST).min(self.bound.bytes);
        let mut bytes = Vec::with_capacity(size);
        let before = self.bytes.len();
        for entry in &mut self.entries {
            let place = usize::try_from(entry.at % before.max(1) as u64).unwrap_or_default();
            entry.at = bytes.len() as u64;
            bytes.extend_from_slice(self.bytes.get(place..place + usize::from(entry.length)).unwrap_or_default());
        }
        self.written = bytes.len() as u64;
        bytes.resize(size, 0);
        self.bytes = bytes;
    }

    fn place(&self, at: u64) -> usize {
        usize::try_from(at % self.bytes.len().max(1) as u64).unwrap_or_default()
    }

    fn slot(&self, seq: SeqNo) -> Option<usize> {
        let slots = self.index.len() as u64;
        (slots > 0).then(|| usize::try_from(seq.0 & (slots - 1)).unwrap_or_default())
    }

    fn enter(&mut self, seq: SeqNo, number: u64) {
        if self.entries.len() * 2 > self.index.len() {
            let slots = (self.entries.len() * 4).next_power_of_two().max(64);
            self.index.clear();
            self.index.resize(slots, 0);
            let (first, index) = (self.first, &mut self.index);
            for (i, entry) in self.entries.iter().enumerate() {
                let slot = usize::try_from(entry.seq.0 & (slots as u64 - 1)).unwrap_or_default();
                if let Some(place) = index.get_mut(slot) {
                    *place = low(first + i as u64);
                }
            }
        } else if let Some(place) = self.slot(seq).and_then(|slot| self.index.get_mut(slot)) {
            *place = low(number);
        }
    }
}

/// The low half, which is all there is of a counter where it wraps.
pub(crate) const fn low(number: u64) -> u32 {
    let [.., a, b, c, d] = number.to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

/// What a stream that says little needs.
const SMALLEST: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use tandem_rtp::{PayloadType, Ssrc, Timestamp};

    use super::*;

    #[allow(clippy::disallowed_methods, reason = "an instant can only be had from the clock")]
    fn some_instant() -> Instant {
        Instant::now()
    }

    fn header(sequence: u16) -> Header {
        let payload_type = PayloadType::new(96).expect("seven bits");
        Header { marker: false, payload_type, sequence, timestamp: Timestamp(0), ssrc: Ssrc(1) }
    }

    fn put(store: &mut Store, now: Instant, seq: u64, length: usize) {
        let packet: Vec<u8> = (0..length).map(|i| low(seq + i as u64).to_be_bytes()[3]).collect();
        store.put(now, SeqNo(seq), header(SeqNo(seq).wire()), &packet);
    }

    fn is_whole(store: &Store, seq: u64) -> bool {
        store.get(SeqNo(seq)).is_some_and(|stored| {
            let expected = |i: usize| low(seq + i as u64).to_be_bytes()[3];
            stored.packet.iter().enumerate().all(|(i, &byte)| byte == expected(i))
        })
    }

    const BOUND: Bound = Bound { age: Duration::from_secs(1), bytes: 64 << 10 };

    #[test]
    fn what_is_put_in_comes_out_however_often_the_ring_turns() {
        let (mut store, now) = (Store::new(BOUND), some_instant());
        for seq in 1_000..6_000_u64 {
            put(&mut store, now, seq, 200 + usize::try_from(seq * 37 % 1_000).expect("small"));
            for back in 0..40 {
                assert!(seq - back < 1_000 || is_whole(&store, seq - back), "{seq} - {back}");
            }
        }
        assert!(store.get(SeqNo(1_000)).is_none() && store.get(SeqNo(6_000)).is_none());
        assert!(store.size() < 200 << 10, "{}", store.size());
    }

    #[test]
    fn what_is_old_is_gone_and_what_overtook_is_there() {
        let (mut store, now) = (Store::new(BOUND), some_instant());
        for seq in [10, 12, 11, 14] {
            put(&mut store, now, seq, 100);
        }
        for (seq, there) in [(10, true), (11, true), (12, true), (13, false), (14, true)] {
            assert_eq!(store.get(SeqNo(seq)).is_some(), there, "{seq}");
        }
        put(&mut store, now + Duration::from_millis(1_500), 15, 100);
        assert!(store.get(SeqNo(14)).is_none() && is_whole(&store, 15));
    }

    #[test]
    fn little_is_kept_for_who_says_little() {
        let (mut store, now) = (Store::new(Bound { bytes: 1 << 20, ..BOUND }), some_instant());
        for seq in 0..500_u64 {
            put(&mut store, now + Duration::from_millis(20 * seq), 70_000 + seq, 120);
        }
        assert!(store.size() < 24 << 10, "{}", store.size());
    }

    #[test]
    fn numbers_far_apart_do_not_hide_each_other_for_long() {
        let (mut store, now) = (Store::new(BOUND), some_instant());
        put(&mut store, now, 5, 100);
        put(&mut store, now, 5 + (1 << 20), 100);
        assert!(is_whole(&store, 5 + (1 << 20)));
        assert!(store.get(SeqNo(5 + (1 << 19))).is_none());
    }

    #[test]
    fn what_is_larger_than_all_of_it_is_not_kept() {
        let (mut store, now) = (Store::new(Bound { bytes: 1_000, ..BOUND }), some_instant());
        put(&mut store, now, 1, 2_000);
        assert!(store.get(SeqNo(1)).is_none());
        put(&mut store, now, 2, 900);
        assert!(is_whole(&store, 2));
    }
}
