//! Session descriptions: [`parse`], print, and agree on one.
//!
//! Pure: text in, values out. A [`Session`] keeps what it has read, attributes that nobody knows included; [`Section`] joins
//! what is said of one m-line. [`negotiate`] answers an offer, [`offer`] makes one and [`accept`] reads the answer to it; all
//! three end in [`Agreed`], which is what the transports and the media plane need to know.
//!
//! RFC 8866 (SDP), RFC 3264 (offer and answer), RFC 9429 (JSEP), RFC 9143 (BUNDLE). Which RFC each attribute comes from is
//! said in its file.

mod address;
mod attribute;
mod candidate;
mod codec;
mod crypto;
mod direction;
mod dtls;
mod extension;
mod fragment;
mod group;
mod h264;
mod layers;
mod malformed;
mod negotiate;
mod opus;
mod parameters;
mod parse;
mod print;
mod section;
mod session;
mod source;
mod text;

pub use address::{Address, Connection, Family, Host};
pub use attribute::{Attribute, Fmtp, Rtcp, Unknown};
pub use candidate::{Candidate, Kind as CandidateKind, TcpType, Transport as CandidateTransport};
pub use codec::{Codec, Feedback, Format, RtcpFb, Rtpmap};
pub use crypto::{Crypto, Key, Mki, Suite};
pub use direction::Direction;
pub use dtls::{Fingerprint, Hash, Role, Setup};
pub use extension::{Extmap, MAX_ONE_BYTE, MAX_TWO_BYTE};
pub use fragment::{Fragment, FragmentLine};
pub use group::{Group, Mid};
pub use h264::{Level, Profile as H264Profile, ProfileLevel};
pub use layers::{Activity, Alternative, Layer, Rid, RidId, Simulcast, Way};
pub use malformed::Malformed;
pub use negotiate::{
    Agent, Agreed, AgreedCodec, AgreedExtension, DataLine, IceRole, Incoming, Line, MediaLine, Misuse, Numbers,
    OurCodec, OurData, OurDtls, OurIce, OurLine, OurSource, OurTransport, Ours, Pace, Plain, Refused, RemoteIce,
    Retransmission, Security, Side, Transport, Why, accept, negotiate, offer,
};
pub use opus::Opus;
pub use parameters::Parameters;
pub use parse::{Limits, parse, parse_within};
pub use section::{Credentials, Section, Source};
pub use session::{Bandwidth, Carrier, Kind, Media, Note, Origin, Profile, Protocol, Session, Time};
pub use source::{Msid, Ssrc, SsrcAttribute, SsrcGroup};
pub use text::{Secret, Text, Token};
