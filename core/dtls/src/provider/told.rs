//! The cookie that `dimpl` is told to find right (RFC 6347 §4.2.1).
//!
//! A server object of `dimpl` knows no cookie but HMAC-SHA256(a secret it draws, client_random), and none can be handed in.
//! But the HMAC is ours. While an object is being shown the hellos of a client, the answer to that one question is the
//! cookie that the client has been sent. Functions of a provider are `static`, so what they are told lies beside them, with
//! the thread, for as long as the call takes.

use std::cell::Cell;

/// Of a client, and its cookie.
#[derive(Clone, Copy)]
struct Told {
    random: [u8; 32],
    cookie: [u8; 32],
}

thread_local! {
    static TOLD: Cell<Option<Told>> = const { Cell::new(None) };
}

/// Does something with the cookie of this client known.
pub(crate) fn with_cookie<R>(random: [u8; 32], cookie: [u8; 32], work: impl FnOnce() -> R) -> R {
    let _forgotten_afterwards = Forget;
    TOLD.set(Some(Told { random, cookie }));
    work()
}

/// Also after a panic.
struct Forget;

impl Drop for Forget {
    fn drop(&mut self) {
        TOLD.set(None);
    }
}

/// The cookie, if that is what an HMAC-SHA256 is wanted for.
pub(super) fn cookie(key: &[u8], data: &[u8]) -> Option<[u8; 32]> {
    let told = TOLD.get()?;
    (key.len() == 32 && data == told.random).then_some(told.cookie)
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    #[test]
    fn it_is_known_for_its_client_and_no_longer_than_the_call_takes() {
        let asked = || (cookie(&[0; 32], &[1; 32]), cookie(&[0; 32], &[2; 32]), cookie(&[0; 16], &[1; 32]));
        assert_eq!(with_cookie([1; 32], [9; 32], asked), (Some([9; 32]), None, None));
        assert_eq!(asked(), (None, None, None));
        assert!(catch_unwind(|| with_cookie([1; 32], [9; 32], || panic!("meant to happen"))).is_err());
        assert_eq!(asked(), (None, None, None));
    }
}
