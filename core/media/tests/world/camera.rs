//! What a browser's camera sends.

use tandem_rtp::header::Header;
use tandem_rtp::{PayloadType, Ssrc, Timestamp};

use super::World;

/// A camera's VP8: frames of so many packets, each with a payload that says which it is.
pub struct Camera {
    pub peer: u64,
    pub mid: u64,
    pub rid: Option<&'static str>,
    pub ssrc: Ssrc,
    pub sequence: u16,
    pub timestamp: u32,
    pub picture: u16,
    pub tl0: u8,
    pub transport: u16,
    pub packets: usize,
    /// Bytes of each.
    pub size: usize,
    pub temporal: bool,
    pub count: u32,
}

impl Camera {
    pub fn new(peer: u64, mid: u64, rid: Option<&'static str>) -> Self {
        let ssrc = Ssrc(
            u32::try_from(peer * 100_000 + mid * 100 + rid.map_or(0, |rid| u64::from(rid.as_bytes()[0])))
                .expect("small"),
        );
        let (count, size) = (0, 207);
        Self {
            peer,
            mid,
            rid,
            ssrc,
            sequence: 1_000,
            timestamp: 50_000,
            picture: 300,
            tl0: 10,
            transport: 0,
            packets: 3,
            size,
            temporal: false,
            count,
        }
    }

    /// The next picture; a keyframe if that is asked for. Temporal layers go 0 2 1 2.
    pub fn frame(&mut self, world: &mut World, is_keyframe: bool) {
        let temporal = if !self.temporal || is_keyframe { 0 } else { [0, 2, 1, 2][self.count as usize % 4] };
        if is_keyframe {
            self.count = 0;
        }
        self.count += 1;
        self.picture = (self.picture + 1) & 0x7fff;
        if temporal == 0 {
            self.tl0 = self.tl0.wrapping_add(1);
        }
        for index in 0..self.packets {
            let [p0, p1] = (0x8000 | self.picture).to_be_bytes();
            // X, S with the first; I, L, T; picture, TL0PICIDX, TID with Y; then the frame's first byte.
            let start = if index == 0 { 0x10 } else { 0 };
            let mut payload = vec![0x80 | start, 0xe0, p0, p1, self.tl0, temporal << 6 | 0x20, u8::from(!is_keyframe)];
            payload.resize(self.size, u8::try_from(index).expect("small"));
            let marker = index + 1 == self.packets;
            let (sequence, timestamp, ssrc) = (self.sequence, Timestamp(self.timestamp), self.ssrc);
            let header = Header { marker, payload_type: PayloadType::from_wire(96), sequence, timestamp, ssrc };
            let (mid, transport) = (self.mid.to_string(), self.transport.to_be_bytes());
            let mut extensions: Vec<(u8, &[u8])> = vec![(3, &transport), (4, mid.as_bytes())];
            extensions.extend(self.rid.map(|rid| (10, rid.as_bytes())));
            world.send(self.peer, header, &extensions, &payload);
            self.sequence = self.sequence.wrapping_add(1);
            self.transport = self.transport.wrapping_add(1);
        }
        self.timestamp = self.timestamp.wrapping_add(3_000);
    }
}
