//! What the sockets of the classic vocabulary share: who announced which channel, and which namespaces exist.
//!
//! `socketioxide` makes a namespace for every name a client asks for and keeps it for ever. Here each is counted, and
//! deleted some time after its last socket has gone.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use socketioxide::SocketIo;
use socketioxide::socket::Sid;

use super::mailbox::Mailbox;
use crate::signal::{KeyVerifier, Shared};

/// Said to a channel's task when `/` learns what the client calls itself.
pub(super) const CALLED: &str = "called";

/// Channels that one connection may announce, and namespaces it may be in.
const PER_SOCKET: usize = 16;
/// An empty namespace is kept for so long, lest it go away under a client that is just coming.
const KEEP_EMPTY: Duration = Duration::from_secs(20);

/// Shared by all sockets of the classic vocabulary.
pub(super) struct Classic {
    pub shared: Arc<Shared>,
    pub verify_key: KeyVerifier,
    io: SocketIo,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What each connection announced: channel and sender.
    announced: HashMap<Sid, BTreeMap<String, String>>,
    /// How many connections announced a channel.
    channels: HashMap<String, usize>,
    spaces: HashMap<String, Space>,
    /// In how many namespaces each connection is.
    memberships: HashMap<Sid, usize>,
}

struct Space {
    sockets: usize,
    empty_since: Instant,
}

impl Classic {
    pub fn new(shared: Arc<Shared>, io: SocketIo, verify_key: KeyVerifier) -> Arc<Self> {
        Arc::new(Self { shared, verify_key, io, state: Mutex::default() })
    }

    /// `new-channel`, `join-channel`.
    pub fn announce(&self, socket: Sid, channel: String, sender: String) -> Result<(), String> {
        let mut state = self.lock();
        let of_socket = state.announced.entry(socket).or_default();
        if of_socket.len() >= PER_SOCKET && !of_socket.contains_key(&channel) {
            return Err(format!("expected at most {PER_SOCKET} channels of one connection"));
        }
        if of_socket.insert(channel.clone(), sender.clone()).is_none() {
            *state.channels.entry(channel.clone()).or_default() += 1;
        }
        drop(state);
        // A client that opens both namespaces at once is in the channel before it could say who it is.
        let entered = self.io.of(format!("/{channel}")).and_then(|space| space.get_socket(socket));
        if let Some(entered) = entered.filter(|_| !sender.is_empty()) {
            Mailbox::tell(&entered, CALLED, Value::String(sender));
        }
        Ok(())
    }

    /// Under which name this connection announced the channel.
    pub fn sender(&self, socket: Sid, channel: &str) -> Option<String> {
        self.lock().announced.get(&socket)?.get(channel).cloned()
    }

    /// Whether somebody announced the channel.
    pub fn is_announced(&self, channel: &str) -> bool {
        self.lock().channels.contains_key(channel)
    }

    /// The connection has left `/`.
    pub fn withdraw(&self, socket: Sid) {
        let mut state = self.lock();
        for channel in state.announced.remove(&socket).unwrap_or_default().into_keys() {
            if let Some(count) = state.channels.get_mut(&channel) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    state.channels.remove(&channel);
                }
            }
        }
    }

    /// A socket is about to enter a namespace; each success needs one `leave_space`.
    pub fn enter_space(&self, socket: Sid, path: &str) -> Result<(), String> {
        let limit = self.shared.config.gate.total;
        let mut state = self.lock();
        let now = Instant::now();
        self.sweep(&mut state, now);
        let memberships = state.memberships.get(&socket).copied().unwrap_or(0);
        let full = state.spaces.len() >= limit && !state.spaces.contains_key(path);
        if memberships >= PER_SOCKET || full {
            if !state.spaces.contains_key(path) {
                self.io.delete_ns(path);
            }
            return Err(match full {
                true => format!("the server has reached its limit of {limit} channels"),
                false => format!("expected at most {PER_SOCKET} channels of one connection"),
            });
        }
        *state.memberships.entry(socket).or_default() += 1;
        state.spaces.entry(path.to_owned()).or_insert(Space { sockets: 0, empty_since: now }).sockets += 1;
        Ok(())
    }

    /// A socket has left a namespace.
    pub fn leave_space(&self, socket: Sid, path: &str) {
        let mut state = self.lock();
        let now = Instant::now();
        if let Some(count) = state.memberships.get_mut(&socket) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                state.memberships.remove(&socket);
            }
        }
        if let Some(space) = state.spaces.get_mut(path) {
            space.sockets = space.sockets.saturating_sub(1);
            space.empty_since = now;
        }
        self.sweep(&mut state, now);
    }

    fn sweep(&self, state: &mut State, now: Instant) {
        // Looking at all of them is rare: only when the oldest could be old enough.
        state.spaces.retain(|path, space| {
            let keep = space.sockets > 0 || now.saturating_duration_since(space.empty_since) < KEEP_EMPTY;
            if !keep {
                self.io.delete_ns(path);
            }
            keep
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
