//! Video layers allocation: which layers a simulcast or scalable sender sends, at which rates and sizes.
//!
//! ```text
//!   | RID | NS| sl_bm |   RID: stream of this packet; NS: streams - 1; sl_bm: spatial layers of all streams, or 0 and then
//!   | sl_bm of each stream, four bits each, padded |
//!   | temporal layers - 1 of each spatial layer, two bits each, padded |
//!   | kb/s, cumulative over temporal layers, LEB128, for each temporal layer |
//!   | width - 1, height - 1, frames per second for each spatial layer |   may be absent
//! ```
//!
//! From the description beside libwebrtc's implementation, `video-layers-allocation00`.

use smallvec::SmallVec;

use super::Resolution;
use super::bits::Reader;
use crate::leb128;

/// What a sender intends to send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VideoLayers {
    /// Which stream the packet belongs to, 0 to 3.
    pub stream: u8,
    /// Active layers by stream and spatial layer; those that are not here are not sent.
    pub layers: SmallVec<[SpatialLayer; 4]>,
}

/// A spatial layer that is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpatialLayer {
    /// Which stream of the simulcast, 0 to 3.
    pub stream: u8,
    /// Which layer in it, 0 to 3.
    pub spatial: u8,
    /// Kilobits per second up to and including each temporal layer, at most four.
    pub kilobits: SmallVec<[u32; 4]>,
    /// Size and frame rate, if told.
    pub size: Option<(Resolution, u8)>,
}

impl VideoLayers {
    /// From the element's value.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (&first, mut rest) = value.split_first()?;
        if first == 0 && rest.is_empty() {
            // Nothing is sent.
            return Some(Self::default());
        }
        let streams = usize::from(first >> 4 & 3) + 1;
        let mut layers = SmallVec::new();
        let mut masks = [first & 0x0f; 4];
        if first & 0x0f == 0 {
            let (own, behind) = rest.split_at_checked(streams.div_ceil(2))?;
            let halves = own.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]);
            masks.iter_mut().zip(halves).for_each(|(mask, half)| *mask = half);
            rest = behind;
        }
        for (stream, mask) in (0_u8..).zip(masks).take(streams) {
            let spatials = (0..4).filter(|spatial| mask >> spatial & 1 != 0);
            layers.extend(spatials.map(|spatial| SpatialLayer {
                stream,
                spatial,
                kilobits: SmallVec::new(),
                size: None,
            }));
        }
        let rest = read_rates(&mut layers, rest)?;
        read_sizes(&mut layers, rest)?;
        Some(Self { stream: first >> 6, layers })
    }

    /// Appends the element's value. Streams and layers beyond three and rates beyond four are not told.
    pub fn write(&self, out: &mut Vec<u8>) {
        let Some(last) = self.layers.iter().map(|layer| layer.stream & 3).max() else {
            out.push(0);
            return;
        };
        let mut masks = [0_u8; 4];
        for layer in &self.layers {
            if let Some(mask) = masks.get_mut(usize::from(layer.stream & 3)) {
                *mask |= 1 << (layer.spatial & 3);
            }
        }
        let used = masks.get(..=usize::from(last)).unwrap_or_default();
        let same = used.first().copied().filter(|first| used.iter().all(|mask| mask == first));
        out.push((self.stream & 3) << 6 | last << 4 | same.unwrap_or(0));
        if same.is_none() {
            let pair = |pair: &[u8]| pair.first().map_or(0, |mask| mask << 4) | pair.get(1).copied().unwrap_or(0);
            out.extend(used.chunks(2).map(pair));
        }
        let mut layers: SmallVec<[&SpatialLayer; 16]> = self.layers.iter().collect();
        layers.sort_by_key(|layer| (layer.stream, layer.spatial));
        for four in layers.chunks(4) {
            out.push(four.iter().enumerate().fold(0, |byte, (place, layer)| {
                let count = u8::try_from(layer.kilobits.len().clamp(1, 4) - 1).unwrap_or(0);
                byte | count << (6 - 2 * place)
            }));
        }
        for layer in &layers {
            let rates = layer.kilobits.iter().take(4);
            rates.for_each(|&rate| leb128::write(rate.into(), out));
            if layer.kilobits.is_empty() {
                out.push(0);
            }
        }
        if layers.iter().all(|layer| layer.size.is_some()) {
            for (size, rate) in layers.iter().filter_map(|layer| layer.size) {
                out.extend(size.width.wrapping_sub(1).to_be_bytes());
                out.extend(size.height.wrapping_sub(1).to_be_bytes());
                out.push(rate);
            }
        }
    }
}

fn read_rates<'a>(layers: &mut [SpatialLayer], bytes: &'a [u8]) -> Option<&'a [u8]> {
    let (counts, mut rest) = bytes.split_at_checked(layers.len().div_ceil(4))?;
    let mut counts = Reader::new(counts);
    for layer in layers {
        for _ in 0..=counts.read(2)? {
            let (rate, behind) = leb128::read(rest, 5)?;
            layer.kilobits.push(rate);
            rest = behind;
        }
    }
    Some(rest)
}

fn read_sizes(layers: &mut [SpatialLayer], mut bytes: &[u8]) -> Option<()> {
    if bytes.is_empty() {
        return Some(());
    }
    for layer in layers {
        let (&[w0, w1, h0, h1, rate], rest) = bytes.split_first_chunk()?;
        // A width of 65,536 has no number in 16 bits.
        let width = u16::from_be_bytes([w0, w1]).checked_add(1)?;
        let height = u16::from_be_bytes([h0, h1]).checked_add(1)?;
        layer.size = Some((Resolution { width, height }, rate));
        bytes = rest;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(stream: u8, spatial: u8, kilobits: &[u32], size: Option<(u16, u16)>) -> SpatialLayer {
        let size = size.map(|(width, height)| (Resolution { width, height }, 30));
        SpatialLayer { stream, spatial, kilobits: kilobits.into(), size }
    }

    #[test]
    fn a_simulcast_of_three_with_sizes() {
        let layers = VideoLayers {
            stream: 1,
            layers: smallvec::smallvec![
                layer(0, 0, &[50, 100, 150], Some((320, 180))),
                layer(1, 0, &[250, 400, 500], Some((640, 360))),
                layer(2, 0, &[800, 1_200, 1_700], Some((1_280, 720))),
            ],
        };
        let mut bytes = Vec::new();
        layers.write(&mut bytes);
        // One spatial layer in each of three streams, three temporal layers each; 150 = 0x96 0x01.
        assert_eq!(bytes[..6], [0b0110_0001, 0b1010_1000, 50, 100, 0x96, 0x01]);
        assert_eq!(bytes.len(), 2 + 4 + 6 + 6 + 15);
        assert_eq!(VideoLayers::parse(&bytes), Some(layers));
    }

    #[test]
    fn streams_that_differ_have_a_mask_each() {
        let layers = VideoLayers {
            stream: 0,
            layers: smallvec::smallvec![layer(0, 0, &[1], None), layer(2, 0, &[2], None), layer(2, 1, &[3, 4], None)],
        };
        let mut bytes = Vec::new();
        layers.write(&mut bytes);
        assert_eq!(bytes, [0b0010_0000, 0b0001_0000, 0b0011_0000, 0b0000_0100, 1, 2, 3, 4]);
        assert_eq!(VideoLayers::parse(&bytes), Some(layers));
    }

    #[test]
    fn nothing_sent_is_one_byte() {
        let mut bytes = Vec::new();
        VideoLayers::default().write(&mut bytes);
        assert_eq!((bytes.as_slice(), VideoLayers::parse(&[0])), (&[0][..], Some(VideoLayers::default())));
    }

    #[test]
    fn what_is_cut_off_or_too_large_is_refused() {
        assert_eq!(VideoLayers::parse(&[]), None);
        assert_eq!(VideoLayers::parse(&[0x01]), None);
        assert_eq!(VideoLayers::parse(&[0x01, 0x40, 1]), None);
        assert_eq!(VideoLayers::parse(&[0x01, 0, 0x80, 0x80, 0x80, 0x80, 0x10]), None, "more than 32 bits");
        assert_eq!(VideoLayers::parse(&[0x01, 0, 1, 0, 1, 0, 1]), None, "a size of four bytes");
    }
}
