//! One end of a fake peer connection: perfect negotiation as the WebRTC specification describes it (§10.7), without media.
//!
//! Each offer has a serial; an answer names the serial it answers. Two ends agree when both are stable on one exchange.

use tandem_api::signal::Candidate;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signalling {
    Stable,
    /// Our offer waits for its answer.
    HaveLocalOffer(String),
}

#[derive(Clone, Debug)]
pub struct Peer {
    /// Of the other end; a connection to an earlier one is dead.
    pub epoch: u32,
    polite: bool,
    me: String,
    serial: u32,
    pub signalling: Signalling,
    /// The offer that both ends agreed on.
    pub agreed: Option<String>,
    /// Candidates of the other end, in the order they came.
    pub candidates: Vec<String>,
    trickled: u32,
}

impl Peer {
    pub fn new(me: &str, my_epoch: u32, other: &str, epoch: u32) -> Self {
        Self {
            epoch,
            polite: me < other,
            me: format!("{me}.{my_epoch}"),
            serial: 0,
            signalling: Signalling::Stable,
            agreed: None,
            candidates: Vec::new(),
            trickled: 0,
        }
    }

    /// `createOffer` and `setLocalDescription`.
    pub fn offer(&mut self) -> String {
        self.serial += 1;
        let serial = format!("{}.{}", self.me, self.serial);
        self.signalling = Signalling::HaveLocalOffer(serial.clone());
        format!("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=x-offer:{serial}\r\n")
    }

    /// The answer, unless both have offered and ours is the one that counts.
    pub fn on_offer(&mut self, sdp: &str) -> Option<String> {
        let serial = attribute(sdp, "x-offer").expect("an offer has a serial");
        if self.signalling != Signalling::Stable && !self.polite {
            return None;
        }
        // Implicit rollback of our own.
        self.signalling = Signalling::Stable;
        self.agreed = Some(serial.clone());
        Some(format!("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=x-answer:{serial}\r\n"))
    }

    pub fn on_answer(&mut self, sdp: &str) {
        let serial = attribute(sdp, "x-answer").expect("an answer names its offer");
        if self.signalling == Signalling::HaveLocalOffer(serial.clone()) {
            self.signalling = Signalling::Stable;
            self.agreed = Some(serial);
        }
    }

    pub fn next_candidate(&mut self) -> Candidate {
        self.trickled += 1;
        let candidate = format!("candidate:{} 1 udp 1 192.0.2.1 9 typ host", self.trickled);
        Candidate { candidate, sdp_mid: Some("0".into()), sdp_m_line_index: Some(0), username_fragment: None }
    }
}

fn attribute(sdp: &str, name: &str) -> Option<String> {
    sdp.lines().find_map(|line| line.strip_prefix(&format!("a={name}:")).map(str::to_owned))
}
