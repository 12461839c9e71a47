//! How much a machine holds at the moment: for whoever looks for a leak.

use super::Server;

/// Sizes of a machine's tables. What is over leaves nothing in any of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Relayed addresses, those that are being opened included.
    pub allocations: usize,
    /// Five-tuples that lead to one.
    pub five_tuples: usize,
    /// Addresses that lead to one from inside.
    pub relayed: usize,
    /// Users that have one.
    pub users: usize,
    /// Times at which one expires.
    pub deadlines: usize,
    /// Relay ports of this shard that are not free.
    pub ports: usize,
    /// Ports kept for RESERVATION-TOKEN.
    pub kept: usize,
    /// Addresses of this shard's ports that other shards relay on.
    pub lent: usize,
    /// Requests that wait for another shard or for somebody who knows the user.
    pub waiting: usize,
    /// Questions that have not been answered.
    pub questions: usize,
    /// Connections with peers, established or not.
    pub connections: usize,
    /// Clients whose packets are passed on to another shard, and those passed on to this one.
    pub guests: usize,
}

impl Server {
    /// Counts; costs as much as there are relay ports.
    pub fn census(&self) -> Census {
        let (five_tuples, relayed, users, deadlines) = self.table.sizes();
        let (kept, lent) = self.reservations.sizes();
        let (asked, questions) = self.gate.users.sizes();
        Census {
            allocations: self.table.len(),
            five_tuples,
            relayed,
            users,
            deadlines,
            ports: self.ports.taken(),
            kept,
            lent,
            waiting: self.claims.len() + asked,
            questions,
            connections: self.connections.len(),
            guests: self.guests.keepers.len() + self.guests.hosts.len(),
        }
    }
}
