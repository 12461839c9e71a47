//! One allocation, RFC 8656 §3.2: its five-tuple, relayed address, permissions and channels.
//!
//! Permissions and channels are kept sorted: a packet costs a binary search among at most a few dozen. What has
//! expired is ignored when looked at and swept out when room is needed.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use stun_types::attribute::Userhash;

use super::Whose;
use super::answer::Style;
use super::config::{FiveTuple, Protocol};
use super::limiter::Bucket;
use super::limits::Meters;
use super::mobility::Mobility;
use super::peers::Reach;
use super::ports::Parity;
use super::reservations::Token;
use super::usage::Meter;
use super::users::{Keys, Name, UserKey};

/// One relayed address of a client.
///
/// Size: what is not a name of RFC 8656 §3.2 is a child already; a packet reads most of it, so it lies in one place.
pub(super) struct Allocation {
    pub(super) generation: u32,
    pub(super) tuple: FiveTuple,
    pub(super) owner: Owner,
    /// The local address of the relay socket.
    pub(super) bound: SocketAddr,
    /// XOR-RELAYED-ADDRESS: `bound`, or the external address in front of it.
    pub(super) relayed: SocketAddr,
    pub(super) expires: Instant,
    pub(super) opening: Option<Opening>,
    pub(super) granted: Granted,
    pub(super) mobility: Option<Mobility>,
    pub(super) bucket: Bucket,
    /// What its realm sets instead of the general bound.
    pub(super) bytes_per_second: Option<u64>,
    pub(super) meter: Meter,
    /// The shell may relay for it past the machine.
    pub(super) offloaded: bool,
    pub(super) meters: Meters,
    pub(super) permissions: Permissions,
    pub(super) channels: Channels,
}

/// Who allocated.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Owner {
    /// As in the USERNAME attribute.
    pub(super) username: String,
    /// Without the expiry; with the realm, where it is not the default one.
    pub(super) user: String,
    pub(super) realm: String,
    pub(super) keys: Keys,
    /// Came with a token, whose time is over then, in seconds since 1970.
    pub(super) token_until: Option<u64>,
    /// Came with an ephemeral credential, whose time is over then, in seconds since 1970.
    pub(super) credential_until: Option<u64>,
}

impl Owner {
    pub(super) fn whose(&self) -> Whose {
        Whose { user: self.user.clone(), realm: self.realm.clone() }
    }

    /// Whether that is who we know.
    pub(super) fn is(&self, user: &UserKey) -> bool {
        self.realm == user.realm
            && match &user.name {
                Name::Plain(name) => *name == self.username,
                Name::Hash(hash) => Userhash::compute(&self.username, &self.realm) == *hash,
                // The key may change while a session lasts, RFC 7635 §4.1: the new token is proof enough.
                Name::Kid(_) => self.token_until.is_some(),
            }
    }
}

/// What the answer to the Allocate said, for its retransmissions.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct Granted {
    /// The transaction id of the Allocate.
    pub(super) transaction: [u8; 12],
    /// What is relayed.
    pub(super) protocol: Protocol,
    /// RESERVATION-TOKEN: the next higher port is kept.
    pub(super) reserved: Option<Token>,
    /// ADDRESS-ERROR-CODE: why there is no relayed address of the other family.
    pub(super) lacks: Option<u16>,
}

/// An Allocate that waits for its relay socket.
#[derive(Clone)]
pub(super) struct Opening {
    pub(super) lifetime: Duration,
    pub(super) parity: Parity,
    pub(super) style: Style,
    pub(super) tries: u8,
}

/// Permissions, RFC 8656 §9, by address.
#[derive(Default)]
pub(super) struct Permissions {
    sorted: SmallVec<[Permission; 4]>,
}

#[derive(Clone, Copy)]
struct Permission {
    ip: IpAddr,
    reach: Reach,
    expires: Instant,
}

impl Permissions {
    pub(super) fn len(&self) -> usize {
        self.sorted.len()
    }

    /// What the permission for this address reaches. `None`: there is none.
    pub(super) fn reach(&self, now: Instant, ip: IpAddr) -> Option<Reach> {
        let index = self.sorted.binary_search_by_key(&ip, |permission| permission.ip).ok()?;
        self.sorted.get(index).filter(|permission| permission.expires > now).map(|permission| permission.reach)
    }

    /// When the permission for this address expires, or has expired.
    pub(super) fn until(&self, ip: IpAddr) -> Option<Instant> {
        let index = self.sorted.binary_search_by_key(&ip, |permission| permission.ip).ok()?;
        self.sorted.get(index).map(|permission| permission.expires)
    }

    /// Whether all these addresses would fit.
    pub(super) fn has_room(&mut self, now: Instant, limit: usize, ips: &[IpAddr]) -> bool {
        let new = self.count_new(ips);
        if self.sorted.len() + new > limit {
            self.sorted.retain(|permission| permission.expires > now || ips.contains(&permission.ip));
        }
        self.sorted.len() + new <= limit
    }

    /// How many of these have never been permitted, or not lately.
    pub(super) fn count_new(&self, ips: &[IpAddr]) -> usize {
        let is_new = |ip: &&IpAddr| self.sorted.binary_search_by_key(*ip, |permission| permission.ip).is_err();
        ips.iter().filter(is_new).count()
    }

    /// Other rules: what is refused by them is gone.
    pub(super) fn judge_again(&mut self, judge: impl Fn(IpAddr) -> Option<Reach>) {
        self.sorted.retain(|permission| match judge(permission.ip) {
            Some(reach) => {
                permission.reach = reach;
                true
            }
            None => false,
        });
    }

    /// Those that have not expired, with the time that is left.
    pub(super) fn keep_for_later(&self, now: Instant) -> Vec<(IpAddr, Duration)> {
        let left = |permission: &Permission| permission.expires.saturating_duration_since(now);
        let live = self.sorted.iter().filter(|permission| permission.expires > now);
        live.map(|permission| (permission.ip, left(permission))).collect()
    }

    /// Installs or refreshes.
    pub(super) fn install(&mut self, now: Instant, ip: IpAddr, reach: Reach) {
        self.install_for(now, ip, reach, PERMISSION_LIFETIME);
    }

    /// With another time than usual, but no longer one.
    pub(super) fn install_for(&mut self, now: Instant, ip: IpAddr, reach: Reach, left: Duration) {
        let permission = Permission { ip, reach, expires: now + left.min(PERMISSION_LIFETIME) };
        match self.sorted.binary_search_by_key(&ip, |permission| permission.ip) {
            Ok(index) => {
                if let Some(place) = self.sorted.get_mut(index) {
                    *place = permission;
                }
            }
            Err(index) => self.sorted.insert(index, permission),
        }
    }
}

/// Channels, RFC 8656 §12, by number and by peer.
#[derive(Default)]
pub(super) struct Channels {
    by_number: Vec<Channel>,
    by_peer: Vec<(SocketAddr, u16)>,
}

#[derive(Clone, Copy)]
pub(super) struct Channel {
    pub(super) number: u16,
    pub(super) peer: SocketAddr,
    pub(super) reach: Reach,
    pub(super) expires: Instant,
}

/// Why a channel cannot be bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BindRefused {
    /// The number belongs to another peer, or the peer to another number.
    Taken,
    Full,
}

impl Channels {
    pub(super) fn len(&self) -> usize {
        self.by_number.len()
    }

    pub(super) fn by_number(&self, now: Instant, number: u16) -> Option<Channel> {
        let index = self.by_number.binary_search_by_key(&number, |channel| channel.number).ok()?;
        self.by_number.get(index).filter(|channel| channel.expires > now).copied()
    }

    /// All that have been bound, some of which may have expired.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Channel> {
        self.by_number.iter()
    }

    pub(super) fn number_of(&self, now: Instant, peer: SocketAddr) -> Option<u16> {
        let index = self.by_peer.binary_search_by_key(&peer, |&(peer, _)| peer).ok()?;
        let &(_, number) = self.by_peer.get(index)?;
        self.by_number(now, number).map(|channel| channel.number)
    }

    /// Whether this pair may be bound, RFC 8656 §12.2.
    pub(super) fn check(
        &mut self,
        now: Instant,
        number: u16,
        peer: SocketAddr,
        limit: usize,
    ) -> Result<(), BindRefused> {
        match (self.by_number(now, number), self.number_of(now, peer)) {
            (Some(channel), Some(bound)) if channel.peer == peer && bound == number => return Ok(()),
            (None, None) => {}
            (Some(_), _) | (_, Some(_)) => return Err(BindRefused::Taken),
        }
        if self.by_number.len() >= limit || self.is_stale(number, peer) {
            self.sweep(now);
        }
        if self.by_number.len() < limit { Ok(()) } else { Err(BindRefused::Full) }
    }

    /// Those that have not expired, with the time that is left.
    pub(super) fn keep_for_later(&self, now: Instant) -> Vec<(u16, SocketAddr, Duration)> {
        let live = self.by_number.iter().filter(|channel| channel.expires > now);
        live.map(|channel| (channel.number, channel.peer, channel.expires.saturating_duration_since(now))).collect()
    }

    /// Binds or refreshes a pair that `check` has passed.
    pub(super) fn bind(&mut self, now: Instant, number: u16, peer: SocketAddr, reach: Reach) {
        self.bind_for(now, (number, peer), reach, CHANNEL_LIFETIME);
    }

    /// With another time than usual, but no longer one.
    pub(super) fn bind_for(&mut self, now: Instant, (number, peer): (u16, SocketAddr), reach: Reach, left: Duration) {
        let channel = Channel { number, peer, reach, expires: now + left.min(CHANNEL_LIFETIME) };
        match self.by_number.binary_search_by_key(&number, |channel| channel.number) {
            Ok(index) => {
                if let Some(place) = self.by_number.get_mut(index) {
                    *place = channel;
                }
            }
            Err(index) => self.by_number.insert(index, channel),
        }
        if let Err(index) = self.by_peer.binary_search_by_key(&peer, |&(peer, _)| peer) {
            self.by_peer.insert(index, (peer, number));
        }
    }

    /// Whether an expired binding still stands where the pair would go.
    fn is_stale(&self, number: u16, peer: SocketAddr) -> bool {
        self.by_number.binary_search_by_key(&number, |channel| channel.number).is_ok()
            || self.by_peer.binary_search_by_key(&peer, |&(peer, _)| peer).is_ok()
    }

    /// Other rules: what is refused by them is gone.
    pub(super) fn judge_again(&mut self, judge: impl Fn(IpAddr) -> Option<Reach>) {
        self.by_number.retain_mut(|channel| match judge(channel.peer.ip()) {
            Some(reach) => {
                channel.reach = reach;
                true
            }
            None => false,
        });
        self.forget_peers();
    }

    fn sweep(&mut self, now: Instant) {
        self.by_number.retain(|channel| channel.expires > now);
        self.forget_peers();
    }

    /// Of channels that are gone.
    fn forget_peers(&mut self) {
        let live = &self.by_number;
        self.by_peer.retain(|(_, number)| live.binary_search_by_key(number, |channel| channel.number).is_ok());
    }
}

/// RFC 8656 §9.
const PERMISSION_LIFETIME: Duration = Duration::from_secs(300);
/// RFC 8656 §12.
const CHANNEL_LIFETIME: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(port: u16) -> SocketAddr {
        SocketAddr::new("1.2.3.4".parse().expect("an address"), port)
    }

    #[test]
    fn a_channel_and_its_peer_stay_a_pair_until_they_expire() {
        let now = crate::turn::some_instant();
        let mut channels = Channels::default();
        assert_eq!(channels.check(now, 0x4000, peer(1), 2), Ok(()));
        channels.bind(now, 0x4000, peer(1), Reach::Outside);
        assert_eq!(channels.check(now, 0x4000, peer(1), 2), Ok(()));
        assert_eq!(channels.check(now, 0x4000, peer(2), 2), Err(BindRefused::Taken));
        assert_eq!(channels.check(now, 0x4001, peer(1), 2), Err(BindRefused::Taken));
        let later = now + CHANNEL_LIFETIME;
        assert_eq!(channels.number_of(later, peer(1)), None);
        assert_eq!(channels.check(later, 0x4001, peer(1), 2), Ok(()));
        channels.bind(later, 0x4001, peer(1), Reach::Outside);
        assert_eq!(channels.number_of(later, peer(1)), Some(0x4001));
        assert!(channels.by_number(later, 0x4000).is_none());
    }

    #[test]
    fn channels_and_permissions_have_a_limit_that_expired_ones_do_not_count_for() {
        let now = crate::turn::some_instant();
        let (mut channels, mut permissions) = (Channels::default(), Permissions::default());
        let ips: Vec<IpAddr> = (0..2_u32).map(|low| IpAddr::V4((0x0102_0300 + low).into())).collect();
        let one_more: IpAddr = "1.2.4.0".parse().expect("an address");
        for (number, ip) in (0x4000..).zip(&ips) {
            channels.bind(now, number, SocketAddr::new(*ip, 9), Reach::Outside);
            permissions.install(now, *ip, Reach::Outside);
        }
        assert_eq!(channels.check(now, 0x5000, peer(3), 2), Err(BindRefused::Full));
        assert!(permissions.has_room(now, 2, &ips));
        assert!(!permissions.has_room(now, 2, &[one_more]));
        assert!(permissions.has_room(now + PERMISSION_LIFETIME, 2, &[one_more]));
        assert_eq!(channels.check(now + CHANNEL_LIFETIME, 0x5000, peer(3), 2), Ok(()));
    }
}
