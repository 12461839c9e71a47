//! One client at the server: its allocation, and the way its payloads take.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context as _, bail};
use tandem_stun::client::{Allocated, Client, Failure, Login, Output, Payload, Relay, Request};

use super::link::{Link, Transport};

/// What all clients have in common.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    pub server: SocketAddr,
    pub transport: Transport,
    pub by: By,
    /// Bytes of a message.
    pub size: usize,
}

/// How payloads travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// ChannelData, four bytes more than the payload.
    Channel,
    /// Send and Data indications, 36 bytes more.
    Send,
    /// Connections to the peer (RFC 6062); needs tcp or tls.
    Connection,
}

/// A client with a relayed address.
pub struct Session {
    link: Link,
    client: Client,
    pub relayed: SocketAddr,
    target: Target,
    packet: Vec<u8>,
    way: Option<Way>,
}

enum Way {
    Relay(Payload),
    Connection(Link),
}

impl Session {
    /// Connects and allocates.
    pub async fn open(target: Target, login: Login) -> anyhow::Result<Self> {
        let link = connect(target).await?;
        let client = Client::new(login, target.transport.carrier(), seed()?);
        let relayed = SocketAddr::from(([0; 4], 0));
        let mut session = Self { link, client, relayed, target, packet: Vec::new(), way: None };
        let relay = if target.by == By::Connection { Relay::Tcp } else { Relay::Udp };
        match session.ask(Request::Allocate { relay, family: None, lifetime: None }).await? {
            Output::Allocated(Allocated { relayed, .. }) => session.relayed = relayed,
            other => bail!("expected a relayed address, got {other:?}"),
        }
        Ok(session)
    }

    /// Lets payloads of this peer in, and makes the way to it. With connections, one side calls and the other waits.
    pub async fn reach(&mut self, peer: SocketAddr) -> anyhow::Result<()> {
        match self.target.by {
            By::Channel => {
                self.ask(Request::ChannelBind { number: CHANNEL, peer }).await?;
                self.way = Some(Way::Relay(Payload::Channel(CHANNEL)));
            }
            By::Send => {
                self.ask(Request::CreatePermission { peer }).await?;
                self.way = Some(Way::Relay(Payload::Indication(peer)));
            }
            By::Connection => match self.ask(Request::Connect { peer }).await? {
                Output::Connected { connection, .. } => self.bind(connection).await?,
                other => bail!("expected a connection, got {other:?}"),
            },
        }
        Ok(())
    }

    /// Lets payloads of this peer in.
    pub async fn permit(&mut self, peer: SocketAddr) -> anyhow::Result<()> {
        self.ask(Request::CreatePermission { peer }).await.map(|_| ())
    }

    /// Waits for a peer to connect.
    pub async fn accept(&mut self) -> anyhow::Result<()> {
        loop {
            if let Output::Connected { connection, .. } = self.drive(None).await? {
                return self.bind(connection).await;
            }
        }
    }

    /// RFC 6062 §4.3: a connection of its own for the peer's bytes.
    async fn bind(&mut self, connection: u32) -> anyhow::Result<()> {
        let link = connect(self.target).await?;
        let client = Client::new(self.client.login(), self.target.transport.carrier(), seed()?);
        let (relayed, target) = (self.relayed, self.target);
        let mut data = Self { link, client, relayed, target, packet: Vec::new(), way: None };
        data.ask(Request::ConnectionBind { connection }).await?;
        data.link.set_fixed(self.target.size);
        self.way = Some(Way::Connection(data.link));
        Ok(())
    }

    /// Is sent when [`Self::receive`] is awaited next.
    pub fn queue(&mut self, payload: &[u8]) {
        match &mut self.way {
            Some(Way::Connection(data)) => data.queue(payload),
            Some(Way::Relay(by)) => {
                self.packet.clear();
                if self.client.write_payload(*by, payload, &mut self.packet) {
                    self.link.queue(&self.packet);
                }
            }
            None => {}
        }
    }

    /// Waits for the next payload of the peer, and keeps alive what there is meanwhile. May be dropped while it waits.
    pub async fn receive(&mut self, payload: &mut Vec<u8>) -> anyhow::Result<()> {
        loop {
            match self.drive(Some(payload)).await? {
                Output::Send(_) => return Ok(()),
                Output::Failed { request, why } => bail!(explain(&request, &why)),
                Output::Allocated(_) | Output::Done(_) | Output::Connected { .. } => {}
            }
        }
    }

    /// Ends the allocation.
    pub async fn close(&mut self) -> anyhow::Result<()> {
        self.ask(Request::Refresh { lifetime: std::time::Duration::ZERO }).await.map(|_| ())
    }

    /// Asks, and waits for what comes of it.
    async fn ask(&mut self, request: Request) -> anyhow::Result<Output> {
        self.client.ask(Instant::now(), request);
        match self.drive(None).await? {
            Output::Failed { request, why } => bail!(explain(&request, &why)),
            other => Ok(other),
        }
    }

    /// Goes on until there is news for us; `Output::Send` stands for a payload that is in `payload`.
    async fn drive(&mut self, mut payload: Option<&mut Vec<u8>>) -> anyhow::Result<Output> {
        loop {
            while let Some(output) = self.client.poll_output() {
                match output {
                    Output::Send(bytes) => self.link.queue(&bytes),
                    news => return Ok(news),
                }
            }
            let due = self.client.poll_timeout();
            let data = match (&mut self.way, payload.as_deref_mut()) {
                (Some(Way::Connection(data)), Some(payload)) => Some((data, payload)),
                _ => None,
            };
            tokio::select! {
                received = self.link.receive(&mut self.packet) => {
                    received.context(self.target.server)?;
                    let news = self.client.handle_packet(Instant::now(), &self.packet);
                    if let (Some(received), Some(payload)) = (news, payload.as_deref_mut()) {
                        payload.clear();
                        payload.extend_from_slice(received.payload);
                        return Ok(Output::Send(Vec::new()));
                    }
                }
                received = receive(data) => {
                    received.context("the connection to the peer")?;
                    return Ok(Output::Send(Vec::new()));
                }
                () = sleep_until(due) => self.client.handle_timeout(Instant::now()),
            }
        }
    }
}

async fn connect(target: Target) -> anyhow::Result<Link> {
    let Target { server, transport, .. } = target;
    let opening = Link::open(server, transport);
    let opened = tokio::time::timeout(CONNECT_WITHIN, opening).await;
    let opened = opened.map_err(|_| match transport {
        Transport::Tls => {
            anyhow::anyhow!("{server} does not answer over TLS, which mostly has a port of its own: 5349")
        }
        Transport::Udp | Transport::Tcp | Transport::Dtls => {
            anyhow::anyhow!("{server} does not answer over {transport}")
        }
    })?;
    opened.with_context(|| format!("no connection to {server} over {transport}"))
}

async fn receive(data: Option<(&mut Link, &mut Vec<u8>)>) -> std::io::Result<()> {
    match data {
        Some((link, payload)) => link.receive(payload).await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

fn seed() -> anyhow::Result<[u8; 32]> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| anyhow::anyhow!("the system gives no random numbers: {error}"))?;
    Ok(seed)
}

/// What has failed, and what may help.
fn explain(request: &Request, why: &Failure) -> String {
    let what = match request {
        Request::Allocate { .. } => "no relayed address",
        Request::Refresh { .. } => "the relayed address cannot be kept",
        Request::CreatePermission { .. } | Request::ChannelBind { .. } => "the peer cannot be reached",
        Request::Connect { .. } | Request::ConnectionBind { .. } => "no connection to the peer",
    };
    let hint = match why {
        Failure::Refused { alternate: Some(other), .. } => format!(": it is full and names {other}"),
        Failure::Refused { code: 401, .. } => ": are name, password and secret right?".to_owned(),
        Failure::Refused { code: 403, .. } => ": this relay does not relay to that address".to_owned(),
        Failure::Refused { code: 442, .. } => ": it does not relay connections (RFC 6062)".to_owned(),
        Failure::Refused { code: 486, .. } => ": fewer clients, or a name for each by --secret".to_owned(),
        Failure::NoAnswer { .. } => ": is it up, and is the port let through?".to_owned(),
        Failure::Refused { .. } | Failure::Unusable { .. } => String::new(),
    };
    format!("{what}: {why}{hint}")
}

const CHANNEL: u16 = 0x4000;
/// The longest a connection may take, TLS included.
const CONNECT_WITHIN: std::time::Duration = std::time::Duration::from_secs(15);
