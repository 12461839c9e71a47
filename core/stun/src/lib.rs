//! STUN and TURN: messages, the relay server machine.
