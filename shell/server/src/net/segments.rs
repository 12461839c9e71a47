//! Where segmentation by the kernel (`UDP_SEGMENT`) was refused: a device that cannot, a path too narrow for a segment.
//! What goes there leaves one by one from then on; other destinations are not slowed down.

use std::collections::VecDeque;
use std::net::IpAddr;

/// Destinations that refused, the latest of them.
#[derive(Default)]
pub(crate) struct Refusals {
    latest: VecDeque<IpAddr>,
}

impl Refusals {
    pub(crate) fn contains(&self, to: IpAddr) -> bool {
        self.latest.contains(&to)
    }

    pub(crate) fn add(&mut self, to: IpAddr) {
        if self.latest.contains(&to) {
            return;
        }
        if self.latest.len() >= KEPT {
            self.latest.pop_front();
        }
        self.latest.push_back(to);
    }
}

/// One forgotten costs one refused call more.
const KEPT: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_known_and_they_are_few() {
        let ip = |low: u32| IpAddr::V4(low.into());
        let mut refusals = Refusals::default();
        for low in (0..100).chain(90..100) {
            refusals.add(ip(low));
        }
        assert!(refusals.contains(ip(99)) && refusals.contains(ip(68)));
        assert!(!refusals.contains(ip(67)));
        assert_eq!(refusals.latest.len(), KEPT);
    }
}
