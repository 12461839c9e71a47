//! The discovery client behind NATs of every kind, simulated, with the relay machine as its server.

mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use tandem_stun::Discovery;
use tandem_stun::client::{Behaviour, Dependence, Discoverer, Side, Undiscovered};
use tandem_stun::turn::{FiveTuple, Transport};
use world::{World, address, ip};

use Dependence::{AddressAndPortDependent, AddressDependent, EndpointIndependent};

const ALL: [Dependence; 3] = [EndpointIndependent, AddressDependent, AddressAndPortDependent];

/// RFC 4787: how it maps, what it lets in.
struct Nat {
    mapping: Dependence,
    filtering: Dependence,
    hairpin: bool,
    /// Public port by (inside, what of the destination counts).
    ports: BTreeMap<(SocketAddr, String), u16>,
    /// (Public port, destination) that have been sent to.
    sent: BTreeSet<(u16, SocketAddr)>,
}

impl Nat {
    fn new(mapping: Dependence, filtering: Dependence, hairpin: bool) -> Self {
        Self { mapping, filtering, hairpin, ports: BTreeMap::new(), sent: BTreeSet::new() }
    }

    /// The public address a packet leaves by.
    fn out(&mut self, from: SocketAddr, to: SocketAddr) -> SocketAddr {
        let counts = match self.mapping {
            EndpointIndependent => String::new(),
            AddressDependent => to.ip().to_string(),
            AddressAndPortDependent => to.to_string(),
        };
        let next = 40_000 + u16::try_from(self.ports.len()).expect("few ports");
        let port = *self.ports.entry((from, counts)).or_insert(next);
        self.sent.insert((port, to));
        SocketAddr::new(ip("203.0.113.1"), port)
    }

    /// Whom a packet from outside reaches.
    fn inside(&self, from: SocketAddr, to: SocketAddr) -> Option<SocketAddr> {
        let (&(inside, _), _) = self.ports.iter().find(|&(_, &port)| port == to.port())?;
        let lets_in = |&(port, sent): &(u16, SocketAddr)| {
            port == to.port()
                && match self.filtering {
                    EndpointIndependent => true,
                    AddressDependent => sent.ip() == from.ip(),
                    AddressAndPortDependent => sent == from,
                }
        };
        self.sent.iter().any(lets_in).then_some(inside)
    }
}

fn sides() -> [(Side, SocketAddr); 2] {
    [(Side::First, address("10.0.0.2:5000")), (Side::Second, address("10.0.0.2:5001"))]
}

/// Discovers behind this NAT, at a server with or without its other address.
fn discover(nat: Option<Nat>, change: impl FnOnce(&mut tandem_stun::turn::Config)) -> Result<Behaviour, Undiscovered> {
    let mut nat = nat;
    let mut world = World::with(|config| {
        config.discovery = Some(Discovery { addresses: [ip("192.168.1.5"), ip("192.168.1.6")], ports: [3_478, 3_479] });
        change(config);
    });
    let mut client = Discoverer::new(world.now, address("192.168.1.5:3478"), [5; 32]);
    loop {
        while let Some(probe) = client.poll_output() {
            let inside = sides().into_iter().find(|&(side, _)| side == probe.from).expect("a side").1;
            let public = nat.as_mut().map_or(inside, |nat| nat.out(inside, probe.to));
            if probe.to.ip() == public.ip() {
                // Turned round, or lost; without a NAT it is our own other socket.
                let reached = match &nat {
                    Some(nat) => nat.inside(public, probe.to).filter(|_| nat.hairpin),
                    None => Some(probe.to),
                };
                let side = reached.and_then(|reached| sides().into_iter().find(|&(_, at)| at == reached));
                if let Some((side, _)) = side {
                    client.handle_datagram(world.now, side, public, &probe.bytes);
                }
                continue;
            }
            world.sent.clear();
            world.packet(FiveTuple { transport: Transport::Udp, client: public, server: probe.to }, &probe.bytes);
            for (to, answer) in std::mem::take(&mut world.sent) {
                let reached = nat.as_ref().map_or(Some(to.client), |nat| nat.inside(to.server, to.client));
                if let Some((side, _)) = sides().into_iter().find(|&(_, at)| Some(at) == reached) {
                    client.handle_datagram(world.now, side, to.server, &answer);
                }
            }
        }
        let Some(due) = client.poll_timeout() else { break };
        world.wait(due - world.now);
        client.handle_timeout(due);
    }
    client.outcome().expect("it has ended")
}

#[test]
fn each_kind_of_nat_is_told_from_the_others() {
    for mapping in ALL {
        for filtering in ALL {
            let found = discover(Some(Nat::new(mapping, filtering, false)), |_| {}).expect("an outcome");
            let Behaviour { mapped, mapping: maps, filtering: filters, hairpin } = found;
            assert_eq!((maps, filters, hairpin), (Some(mapping), Some(filtering), false), "{mapping:?} {filtering:?}");
            assert_eq!(mapped.ip(), ip("203.0.113.1"));
        }
    }
}

#[test]
fn a_nat_that_turns_packets_round_is_noticed() {
    let found = discover(Some(Nat::new(EndpointIndependent, EndpointIndependent, true)), |_| {});
    assert!(found.expect("an outcome").hairpin);
}

#[test]
fn without_a_nat_the_mapped_address_is_our_own() {
    let found = discover(None, |_| {}).expect("an outcome");
    assert_eq!(found.mapped, address("10.0.0.2:5000"));
    assert_eq!((found.mapping, found.filtering), (Some(EndpointIndependent), Some(EndpointIndependent)));
}

#[test]
fn a_server_with_one_address_tells_where_we_are_and_no_more() {
    let nat = Nat::new(EndpointIndependent, AddressDependent, false);
    let found = discover(Some(nat), |config| config.discovery = None).expect("an outcome");
    assert_eq!((found.mapping, found.filtering, found.mapped.ip()), (None, None, ip("203.0.113.1")));
}

#[test]
fn a_server_that_is_silent_is_told_apart_from_a_nat() {
    let now = world::some_instant();
    let mut client = Discoverer::new(now, address("192.168.1.5:3478"), [5; 32]);
    let mut probes = 0;
    loop {
        while client.poll_output().is_some() {
            probes += 1;
        }
        let Some(due) = client.poll_timeout() else { break };
        client.handle_timeout(due);
    }
    assert_eq!((probes, client.outcome()), (7, Some(Err(Undiscovered::NoAnswer { requests: 7 }))));
}
