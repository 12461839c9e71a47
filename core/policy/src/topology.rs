//! Whether the media of a room goes from browser to browser, or through the server.

use std::time::Duration;

/// How a room stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Situation {
    /// The server can forward media.
    pub available: bool,
    /// The host wants it to, or somebody is in who cannot do without.
    pub forced: bool,
    /// Who is in.
    pub participants: u32,
    /// Up to so many connect to each other directly.
    pub direct: u32,
}

/// What would be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// From browser to browser, as there is nothing else.
    Never,
    /// From browser to browser, if it stays like that for [`BACK_AFTER`].
    P2p,
    /// Through the server, at once.
    Sfu,
}

/// What would be right for a room.
pub const fn wanted(situation: Situation) -> Wanted {
    match situation {
        Situation { available: false, .. } => Wanted::Never,
        Situation { forced: true, .. } => Wanted::Sfu,
        Situation { participants, direct, .. } if participants > direct => Wanted::Sfu,
        _ => Wanted::P2p,
    }
}

/// A room that needs the server no more goes on through it for so long: who has left may come back, and each change costs.
pub const BACK_AFTER: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_one_and_the_host_take_a_room_to_the_server() {
        let room = |participants, forced, available| wanted(Situation { available, forced, participants, direct: 2 });
        assert_eq!(
            [room(1, false, true), room(2, false, true), room(3, false, true)],
            [Wanted::P2p, Wanted::P2p, Wanted::Sfu]
        );
        assert_eq!([room(2, true, true), room(9, true, false)], [Wanted::Sfu, Wanted::Never]);
    }
}
