//! Bytes as what a server, or somebody who pretends to be one, answers to our clients.

use std::time::Duration;

use tandem_stun::client::{Binding, Carrier, Client, Discoverer, Login, Output, Payload, Relay, Request, Side};
use tandem_stun::integrity::{self, Algorithm, Integrity, Key};
use tandem_stun::wire::{self, COOKIE, Packet};

use super::world::{address, some_instant};

/// Bytes as the answers to three clients, and as what is asked of them.
pub fn stun_client(bytes: &[u8]) {
    let mut now = some_instant();
    let (&first, mut rest) = bytes.split_first().unwrap_or((&0, &[]));
    let carrier = if first & 1 == 0 { Carrier::Datagrams } else { Carrier::Stream };
    let Some(login) = Login::new("alice", "secret") else { return };
    let mut client = Client::new(login, carrier, [first; 32]);
    let mut binding = Binding::new(now, [first; 12]);
    let server = address("192.0.2.1:3478");
    let mut discoverer = Discoverer::new(now, server, [first; 32]);
    let mut asked: Vec<Vec<u8>> = Vec::new();
    for _ in 0..MAX_STEPS {
        let Some((&step, after)) = rest.split_first() else { break };
        rest = after;
        match step & 0x07 {
            0 => ask(&mut client, now, step >> 3),
            1 => {
                now += Duration::from_secs(u64::from(step >> 3));
                client.handle_timeout(now);
                binding.handle_timeout(now);
                discoverer.handle_timeout(now);
            }
            2 => {
                let mut out = Vec::new();
                let _ = client.write_payload(Payload::Channel(0x4000), rest, &mut out);
                let _ = client.write_payload(Payload::Indication(server), rest, &mut out);
            }
            _ => {
                let (body, after) = rest.split_at(usize::from(step >> 3).min(rest.len()));
                rest = after;
                let request = asked.get(usize::from(step & 3)).or(asked.last()).cloned().unwrap_or_default();
                let answer = answer(&request, step, body);
                if let Some(received) = client.handle_packet(now, &answer) {
                    assert!(received.payload.len() <= answer.len());
                }
                binding.handle_datagram(now, &answer);
                discoverer.handle_datagram(now, Side::First, server, &answer);
            }
        }
        drain(&mut client, &mut asked);
        if let Some(request) = binding.poll_output() {
            asked.push(request.to_vec());
        }
        while let Some(probe) = discoverer.poll_output() {
            asked.push(probe.bytes);
        }
        asked.drain(..asked.len().saturating_sub(8));
    }
    // Whatever has been answered, nobody waits for ever without a time at which to give up or ask again.
    for _ in 0..1_000 {
        let Some(due) = binding.poll_timeout() else { break };
        binding.handle_timeout(due);
        let _ = binding.poll_output();
    }
    assert!(binding.outcome().is_some());
    for _ in 0..1_000 {
        while discoverer.poll_output().is_some() {}
        let Some(due) = discoverer.poll_timeout() else { break };
        discoverer.handle_timeout(due);
    }
    assert!(discoverer.outcome().is_some());
}

fn ask(client: &mut Client, now: std::time::Instant, which: u8) {
    let peer = address("8.8.8.8:9000");
    client.ask(
        now,
        match which % 6 {
            0 => Request::Allocate { relay: Relay::Udp, family: None, lifetime: None },
            1 => Request::Refresh { lifetime: Duration::from_secs(u64::from(which)) },
            2 => Request::CreatePermission { peer },
            3 => Request::ChannelBind { number: 0x4000, peer },
            4 => Request::Connect { peer },
            _ => Request::ConnectionBind { connection: which.into() },
        },
    );
}

/// An answer to a request of the client: of the kind that `step` says, with these attributes, signed where that is said.
fn answer(request: &[u8], step: u8, body: &[u8]) -> Vec<u8> {
    let Ok(Packet::Stun(asked)) = wire::parse(request) else { return body.to_vec() };
    let kind = match step & 0x07 {
        3 => asked.kind | 0x0100,
        4 | 5 => asked.kind | 0x0110,
        6 => 0x0017,
        _ => 0x001c,
    };
    let mut attributes = body.to_vec();
    if step & 0x07 == 4 {
        // 401 with a realm and a nonce.
        attributes.extend([0, 9, 0, 4, 0, 0, 4, 1, 0, 0x14, 0, 1, b'r', 0, 0, 0, 0, 0x15, 0, 1, b'n', 0, 0, 0]);
    }
    attributes.resize(attributes.len() / 4 * 4, 0);
    let length = u16::try_from(attributes.len()).unwrap_or(u16::MAX).to_be_bytes();
    let message = [&kind.to_be_bytes()[..], &length, &COOKIE, &asked.transaction(), &attributes].concat();
    let key = Key::long_term(Algorithm::Md5, "alice", "r", "secret");
    match step & 0x07 {
        3 => integrity::protect(message, Integrity::Sha1, &key).unwrap_or_default(),
        _ => message,
    }
}

fn drain(client: &mut Client, asked: &mut Vec<Vec<u8>>) {
    for _ in 0..1_000 {
        match client.poll_output() {
            Some(Output::Send(bytes)) => {
                assert!(matches!(wire::parse(&bytes), Ok(Packet::Stun(_))), "we say nothing malformed");
                asked.push(bytes);
            }
            Some(_) => {}
            None => return,
        }
    }
    panic!("the client has too much to say");
}

const MAX_STEPS: usize = 200;
