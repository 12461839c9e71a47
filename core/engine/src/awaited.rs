//! Guests whose connection has not come about yet. Each holds a place that it has not proved to need, so there is a bound, and
//! when that is reached, whoever comes from an address of which fewer are awaited gets the place of the one that has been
//! awaited for longest from the address of which most are. As long as there is room, no address has a share: five hundred
//! behind one NAT come in at once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use crate::context::Seat;

#[derive(Default)]
pub(crate) struct Awaited {
    all: usize,
    most: usize,
    /// By address, in the order in which they came.
    seats: BTreeMap<IpAddr, BTreeSet<(u64, Seat)>>,
    /// How many there are of each address, for the one with the most.
    crowds: BTreeSet<(usize, IpAddr)>,
    last: u64,
}

/// One that is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    /// As whose it is counted.
    pub(crate) household: IpAddr,
    order: u64,
}

impl Awaited {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, ..Self::default() }
    }

    /// Whether one more of an address can be awaited, if need be in the place of another one.
    pub(crate) fn has_room_for(&self, address: IpAddr) -> bool {
        let own = self.seats.get(&household(address)).map_or(0, BTreeSet::len);
        self.all < self.most || self.crowds.last().is_some_and(|(most, _)| *most > own + 1)
    }

    pub(crate) fn admit(&mut self, address: IpAddr, seat: Seat) -> Ticket {
        self.last += 1;
        let ticket = Ticket { household: household(address), order: self.last };
        self.change(ticket.household, |seats| seats.insert((ticket.order, seat)));
        self.all += 1;
        ticket
    }

    /// It has come about, or is awaited no more.
    pub(crate) fn dismiss(&mut self, ticket: Ticket, seat: Seat) {
        if self.change(ticket.household, |seats| seats.remove(&(ticket.order, seat))) {
            self.all -= 1;
        }
    }

    /// Whose place goes to somebody else, as long as there are too many.
    pub(crate) fn superfluous(&self) -> Option<Seat> {
        let (_, household) = self.crowds.last().filter(|_| self.all > self.most)?;
        self.seats.get(household)?.first().map(|(_, seat)| *seat)
    }

    fn change(&mut self, household: IpAddr, act: impl FnOnce(&mut BTreeSet<(u64, Seat)>) -> bool) -> bool {
        let seats = self.seats.entry(household).or_default();
        let before = seats.len();
        let changed = act(seats);
        let after = seats.len();
        if after == 0 {
            self.seats.remove(&household);
        }
        self.crowds.remove(&(before, household));
        if after > 0 {
            self.crowds.insert((after, household));
        }
        changed
    }
}

/// Whoever has an IPv6 address has its whole /64.
pub(crate) fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

/// For each media plane.
pub(crate) const MOST: usize = 1_024;
/// How long one is awaited: checks of every path, and a handshake that loses a flight or two.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::RoomKey;

    fn seat(number: u32) -> Seat {
        Seat { room: RoomKey(1), number }
    }

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn an_address_has_all_the_room_until_somebody_else_needs_some() {
        let mut awaited = Awaited::new(4);
        let tickets: Vec<_> = (1..=4).map(|number| awaited.admit(address(1), seat(number))).collect();
        assert!(!awaited.has_room_for(address(1)) && awaited.has_room_for(address(2)));
        assert_eq!(awaited.superfluous(), None);
        awaited.admit(address(2), seat(5));
        assert_eq!(awaited.superfluous(), Some(seat(1)), "the one awaited for longest");
        awaited.dismiss(tickets[0], seat(1));
        assert!(awaited.superfluous().is_none() && awaited.has_room_for(address(2)));
        awaited.admit(address(2), seat(6));
        awaited.dismiss(tickets[1], seat(2));
        assert!(!awaited.has_room_for(address(2)) && !awaited.has_room_for(address(1)), "two of each");
        assert!(!awaited.has_room_for(address(3)) || awaited.superfluous().is_none());
        // Dismissed twice, once.
        awaited.dismiss(tickets[1], seat(2));
        awaited.dismiss(tickets[2], seat(3));
        assert!(awaited.has_room_for(address(1)) && awaited.all == 3);
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let of = |text: &str| household(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::2:3"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), address(1));
    }
}
