//! Settings that change while the machine runs. Allocations stay; a peer that may no longer be relayed to loses its
//! permissions and channels at once.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::Server;
use super::config::{Config, Limits, PeerRules};
use super::external::External;
use super::limiter::Rate;

/// What can be changed, all of it at once. Has no `Debug`: it holds secrets.
#[derive(Clone)]
pub struct Changes {
    /// HMAC keys of the ephemeral credentials: each is good, while one is being replaced.
    pub secrets: Vec<Vec<u8>>,
    /// Users with passwords.
    pub users: Vec<(String, String)>,
    /// How long an issued credential is valid; decides how long a revoked user stays out.
    pub credential_lifetime: Duration,
    /// Whether an allocation ends when its credential does.
    pub end_on_expiry: bool,
    /// Told to clients in place of addresses of this host.
    pub external: External,
    /// The addresses to relay from.
    pub relay: Vec<IpAddr>,
    /// Other relays, named to clients while this one is full.
    pub alternates: Vec<SocketAddr>,
    /// Who may be relayed to.
    pub peers: PeerRules,
    /// Bounds.
    pub limits: Limits,
}

impl Changes {
    /// What a configuration that is not to change begins with.
    pub fn of(config: &Config) -> Self {
        Self {
            secrets: config.secrets.clone(),
            users: config.accounts.fixed.clone(),
            credential_lifetime: config.credential_lifetime,
            end_on_expiry: config.end_on_expiry,
            external: config.addresses.external.clone(),
            relay: config.addresses.relay.clone(),
            alternates: config.addresses.alternates.clone(),
            peers: config.peers.clone(),
            limits: config.limits,
        }
    }

    /// A configuration with these changes.
    pub fn apply_to(&self, config: &mut Config) {
        let changes = self.clone();
        config.secrets = changes.secrets;
        config.accounts.fixed = changes.users;
        config.credential_lifetime = changes.credential_lifetime;
        config.end_on_expiry = changes.end_on_expiry;
        config.addresses.external = changes.external;
        config.addresses.relay = changes.relay;
        config.addresses.alternates = changes.alternates;
        config.peers = changes.peers;
        config.limits = changes.limits;
    }
}

impl Server {
    /// Goes on by other settings. Walks over allocations.
    pub fn handle_changes(&mut self, now: Instant, changes: &Changes) {
        let limits = changes.limits;
        self.gate.change(changes);
        self.gate.set_rate(Rate { per_second: limits.answers_per_second.into(), burst: limits.answers_burst.into() });
        self.settings.limits = limits;
        self.settings.addresses.external.clone_from(&changes.external);
        self.settings.addresses.relay.clone_from(&changes.relay);
        self.settings.addresses.alternates.clone_from(&changes.alternates);
        self.peers.change(changes.peers.clone(), &self.settings.addresses);
        for slot in self.table.slots() {
            let Some(allocation) = self.table.get(slot) else { continue };
            let left = allocation.expires.saturating_duration_since(now);
            let allowed = self.gate.at_most(now, &allocation.owner, left);
            if allowed < left {
                self.table.set_expiry(slot, now + allowed);
            }
        }
        self.regroup(now);
        self.judge_again();
    }

    /// Other rules on peers, or of realms: what they refuse ends, and allocations have the bounds of their realms.
    pub(super) fn judge_again(&mut self) {
        for slot in self.table.slots() {
            let (peers, realms) = (&self.peers, self.gate.realms());
            let Some(allocation) = self.table.get_mut(slot) else { continue };
            let realm = allocation.owner.realm.as_str();
            let judge = |ip| peers.judge(ip, realms, realm);
            allocation.permissions.judge_again(judge);
            allocation.channels.judge_again(judge);
            allocation.bytes_per_second = realms.bytes_per_second(realm);
            let connections = self.connections.of(slot);
            let refused =
                connections.filter(|&id| self.connections.get(id).is_some_and(|it| judge(it.peer.ip()).is_none()));
            let refused: Vec<_> = refused.collect();
            self.refuse(&refused);
        }
        // What was granted to the kernel was granted by the former rules.
        self.table.slots().into_iter().for_each(|slot| self.offload_elsewhere(slot));
    }
}
