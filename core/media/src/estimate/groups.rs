//! Packets sent as one burst are one group; what counts is how the distance between groups changed on the way
//! (draft-ietf-rmcat-gcc-02 §5.2, §5.3).

/// Sorts packets into groups, in the order of feedback.
#[derive(Debug, Default)]
pub(super) struct Groups {
    previous: Option<Group>,
    current: Option<Group>,
    /// Groups in a row that arrived before their predecessors.
    reordered: u32,
}

/// How two neighbouring groups were sent and how they arrived, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Variation {
    pub(super) sent: i64,
    pub(super) arrived: i64,
    /// When the later one was complete, on the receiver's clock.
    pub(super) at: i64,
}

#[derive(Debug, Clone, Copy)]
struct Group {
    first_sent: i64,
    last_sent: i64,
    first_arrival: i64,
    last_arrival: i64,
    /// When we heard of its last packet.
    heard: i64,
}

impl Groups {
    /// Takes a packet; tells the variation when a group has become complete by it.
    pub(super) fn add(&mut self, now: i64, sent: i64, arrival: i64) -> Option<Variation> {
        let Some(current) = &mut self.current else {
            self.current = Some(Group::new(now, sent, arrival));
            return None;
        };
        if sent < current.first_sent {
            return None;
        }
        if current.takes(sent, arrival) {
            current.last_sent = current.last_sent.max(sent);
            current.last_arrival = current.last_arrival.max(arrival);
            current.heard = now;
            return None;
        }
        let complete = *current;
        let previous = self.previous.replace(complete);
        self.current = Some(Group::new(now, sent, arrival));
        self.compare(previous?, complete)
    }

    fn compare(&mut self, before: Group, after: Group) -> Option<Variation> {
        let arrived = after.last_arrival.saturating_sub(before.last_arrival);
        let heard = after.heard.saturating_sub(before.heard);
        if arrived.saturating_sub(heard) >= CLOCK_JUMP {
            *self = Self::default();
            return None;
        }
        if arrived < 0 {
            self.reordered += 1;
            if self.reordered >= REORDERED {
                *self = Self::default();
            }
            return None;
        }
        self.reordered = 0;
        let sent = after.last_sent.saturating_sub(before.last_sent);
        Some(Variation { sent, arrived, at: after.last_arrival })
    }
}

impl Group {
    fn new(now: i64, sent: i64, arrival: i64) -> Self {
        Self { first_sent: sent, last_sent: sent, first_arrival: arrival, last_arrival: arrival, heard: now }
    }

    fn takes(&self, sent: i64, arrival: i64) -> bool {
        sent.saturating_sub(self.first_sent) <= GROUP || self.bunched(sent, arrival)
    }

    /// Something on the way held packets back and let them go together.
    fn bunched(&self, sent: i64, arrival: i64) -> bool {
        let between = arrival.saturating_sub(self.last_arrival);
        let apart = sent.saturating_sub(self.last_sent);
        // A clock set back is no bunch, or everything would be one group until it has caught up.
        (-BUNCH..=GROUP).contains(&between) && between < apart && arrival.saturating_sub(self.first_arrival) < BUNCH
    }
}

const GROUP: i64 = 5_000;
const BUNCH: i64 = 100_000;
/// The receiver's clock was set, or lies.
const CLOCK_JUMP: i64 = 3_000_000;
const REORDERED: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_one_group_and_the_next_completes_it() {
        let mut groups = Groups::default();
        for (sent, arrival) in [(0, 50_000), (1_000, 51_000), (20_000, 71_000), (21_000, 72_000)] {
            assert_eq!(groups.add(arrival, sent, arrival), None);
        }
        assert_eq!(groups.add(100_000, 40_000, 95_000), Some(Variation { sent: 20_000, arrived: 21_000, at: 72_000 }));
    }

    #[test]
    fn packets_held_back_and_let_go_together_are_one_group() {
        let mut groups = Groups::default();
        assert_eq!(groups.add(0, 0, 0), None);
        assert_eq!(groups.add(0, 20_000, 100_000), None);
        for held in 1..8 {
            assert_eq!(groups.add(0, 20_000 + held * 8_000, 100_000 + held * 500), None);
        }
        assert!(groups.add(200_000, 200_000, 200_000).is_some());
    }

    #[test]
    fn a_clock_that_jumps_ahead_starts_anew() {
        let mut groups = Groups::default();
        assert_eq!(groups.add(0, 0, 0), None);
        assert_eq!(groups.add(20_000, 20_000, 10_000_000), None);
        assert_eq!(groups.add(40_000, 40_000, 10_020_000), None);
        assert!(groups.previous.is_none());
    }

    #[test]
    fn a_clock_that_jumps_back_is_followed_after_three_groups() {
        let mut groups = Groups::default();
        let mut seen = Vec::new();
        for n in 0..10 {
            let jump = if n < 3 { 50_000_000 } else { 0 };
            seen.extend(groups.add(n * 20_000, n * 20_000, jump + n * 20_000));
        }
        assert!(seen.iter().all(|v| v.arrived == 20_000), "{seen:?}");
        assert!(seen.len() >= 4, "{seen:?}");
    }

    #[test]
    fn any_times_at_all_are_borne() {
        let mut groups = Groups::default();
        for (sent, arrival) in [(i64::MAX, i64::MIN), (i64::MIN, i64::MAX), (0, 0), (i64::MAX, i64::MAX), (i64::MAX, 0)]
        {
            groups.add(i64::MIN, sent, arrival);
            groups.add(i64::MAX, arrival, sent);
        }
    }
}
