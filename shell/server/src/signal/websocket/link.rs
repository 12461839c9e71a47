//! One WebSocket connection after its handshake: reads, writes, asks for signs of life, closes.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::codec::{self, Decoder, Message, Violation};
use crate::engine::{After, Batch, encode};
use crate::signal::Config;
use crate::signal::session::{Onward, Session};

/// Bytes taken from the socket at once.
const READ: usize = 16 << 10;
/// A burst is written in pieces of about this many bytes.
const WRITE: usize = 64 << 10;
/// How long the peer gets for its part of the closing handshake.
const LINGER: Duration = Duration::from_secs(2);

/// Status codes of RFC 6455 §7.4.1 and of the registry.
const NORMAL: u16 = 1000;
const GOING_AWAY: u16 = 1001;

thread_local! {
    /// Every connection of a runtime thread reads through this buffer; none has one of its own.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into_boxed_slice());
}

pub(super) struct Link<IO> {
    io: IO,
    decoder: Decoder,
    session: Session,
    times: Times,
    life: Life,
}

/// From the settings.
#[derive(Clone, Copy)]
struct Times {
    ping: Duration,
    write: Duration,
    hello: Duration,
}

/// What is known of the peer since the last look.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Life {
    Heard,
    /// Nothing came; it was asked.
    Asked,
    /// Nothing was looked for yet.
    Fresh,
}

/// How reading goes on.
enum Read {
    On,
    /// What was refused is written, then the connection is closed with this status.
    End(u16),
    /// The peer closes.
    Closed,
}

/// How a connection goes on.
enum Step {
    Go,
    /// Say so with this status and wait for the peer's part.
    Close(u16),
    /// No more words.
    Gone,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Link<IO> {
    pub fn new(io: IO, session: Session, config: &Config) -> Self {
        let times = Times { ping: config.ping_interval, write: config.write_timeout, hello: config.hello_timeout };
        Self { io, decoder: Decoder::new(config.frame_bytes), session, times, life: Life::Fresh }
    }

    /// Until the connection ends; the engine then knows it.
    pub async fn run(mut self) {
        if let Step::Close(status) = self.converse().await {
            self.say_goodbye(status).await;
        }
    }

    async fn converse(&mut self) -> Step {
        let outbox = std::sync::Arc::clone(&self.session.transport.outbox);
        let look = sleep(self.times.hello);
        tokio::pin!(look);
        loop {
            let step = tokio::select! {
                biased;
                batch = outbox.next() => self.write_batch(batch).await,
                read = read(&mut self.io, &mut self.decoder) => match read {
                    Ok(0) | Err(_) => Step::Gone,
                    Ok(_) => self.handle_read().await,
                },
                () = look.as_mut() => self.look(look.as_mut()).await,
            };
            match step {
                Step::Go => {}
                step => return step,
            }
        }
    }

    async fn handle_read(&mut self) -> Step {
        self.life = Life::Heard;
        let mut pongs = Vec::new();
        let read = self.handle_messages(&mut pongs).await;
        match (self.write(&pongs).await, read) {
            (Step::Go, Read::On) => Step::Go,
            (Step::Go, Read::End(status)) => self.flush(status).await,
            // RFC 6455 §5.5.1: answer with a close frame.
            (Step::Go, Read::Closed) => Step::Close(NORMAL),
            (step, _) => step,
        }
    }

    /// All that has come in whole. Waits only for what the hello needs.
    async fn handle_messages(&mut self, pongs: &mut Vec<u8>) -> Read {
        let mut consumed = 0;
        let read = loop {
            let onward = match self.decoder.next(&mut consumed) {
                Ok(Some(Message::Text(text))) if self.session.has_hello() => self.session.handle_text(&text),
                // In a box: a connection holds the place for it only as long as it takes.
                Ok(Some(Message::Text(text))) => Box::pin(self.session.handle_first(&text)).await,
                Ok(Some(Message::Binary)) => self.session.binary(),
                Ok(Some(Message::Ping(payload))) => {
                    codec::write_pong(pongs, &payload);
                    Onward::Read
                }
                Ok(Some(Message::Pong)) => Onward::Read,
                Ok(Some(Message::Close)) => break Read::Closed,
                Ok(None) => break Read::On,
                Err(violation) => {
                    self.refuse(violation);
                    break Read::End(violation.status());
                }
            };
            if onward == Onward::Close {
                break Read::End(GOING_AWAY);
            }
        };
        self.decoder.compact(consumed);
        read
    }

    fn refuse(&mut self, violation: Violation) {
        let onward = match violation {
            Violation::TooLarge { got } => self.session.too_large(got),
            other => {
                self.session.refuse(tandem_api::signal::Reason::Malformed, format!("WebSocket, RFC 6455: {other}"))
            }
        };
        debug_assert_eq!(onward, Onward::Close, "a broken stream cannot be read on");
    }

    /// Writes what waits in a finished outbox.
    async fn flush(&mut self, status: u16) -> Step {
        let batch = self.session.transport.outbox.next().await;
        match self.write_batch(batch).await {
            Step::Go | Step::Close(_) => Step::Close(status),
            step @ Step::Gone => step,
        }
    }

    async fn write_batch(&mut self, batch: Batch) -> Step {
        if batch.after == After::Abort {
            return Step::Gone;
        }
        let mut out = Vec::new();
        for frame in batch.frames {
            codec::write_text(&mut out, |out| encode(out, &frame));
            if out.len() >= WRITE {
                let Step::Go = self.write(&out).await else { return Step::Gone };
                out.clear();
            }
        }
        match (self.write(&out).await, batch.after) {
            (Step::Go, After::Close) => Step::Close(GOING_AWAY),
            (step, _) => step,
        }
    }

    /// Gives up when the peer takes too long, or when too much has gathered for it meanwhile.
    async fn write(&mut self, bytes: &[u8]) -> Step {
        if bytes.is_empty() {
            return Step::Go;
        }
        let write = async {
            self.io.write_all(bytes).await?;
            self.io.flush().await
        };
        tokio::select! {
            biased;
            written = timeout(self.times.write, write) => match written {
                Ok(Ok(())) => Step::Go,
                Ok(Err(_)) | Err(_) => Step::Gone,
            },
            () = self.session.transport.outbox.aborted() => Step::Gone,
        }
    }

    /// Is anybody there?
    async fn look(&mut self, timer: Pin<&mut Sleep>) -> Step {
        timer.reset(Instant::now() + self.times.ping);
        if !self.session.has_hello() {
            let Onward::Close = self.session.no_hello() else { return Step::Go };
            return self.flush(GOING_AWAY).await;
        }
        match self.life {
            Life::Heard => {
                self.life = Life::Fresh;
                Step::Go
            }
            Life::Fresh => {
                self.life = Life::Asked;
                let mut out = Vec::new();
                codec::write_ping(&mut out);
                self.write(&out).await
            }
            Life::Asked => Step::Gone,
        }
    }

    /// RFC 6455 §7.1.1: our close frame, then the peer's, then the end; a peer that does not answer is not waited for.
    async fn say_goodbye(&mut self, status: u16) {
        let mut out = Vec::new();
        codec::write_close(&mut out, status);
        let Step::Go = self.write(&out).await else { return };
        let linger = async {
            self.io.shutdown().await?;
            while poll_fn(|cx| poll_scratch(&mut self.io, cx, |bytes| bytes.len())).await? > 0 {}
            Ok::<(), std::io::Error>(())
        };
        // Whether the peer was polite makes no difference any more.
        let _ = timeout(LINGER, linger).await;
    }
}

/// Reads what there is into the decoder. May be dropped while waiting.
async fn read<IO: AsyncRead + Unpin>(io: &mut IO, decoder: &mut Decoder) -> std::io::Result<usize> {
    poll_fn(|cx| {
        poll_scratch(io, cx, |bytes| {
            decoder.push(bytes);
            bytes.len()
        })
    })
    .await
}

fn poll_scratch<IO: AsyncRead + Unpin>(
    io: &mut IO,
    cx: &mut std::task::Context<'_>,
    take: impl FnOnce(&[u8]) -> usize,
) -> Poll<std::io::Result<usize>> {
    SCRATCH.with_borrow_mut(|scratch| {
        let mut buffer = ReadBuf::new(scratch);
        match Pin::new(io).poll_read(cx, &mut buffer) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) => Poll::Ready(Ok(take(buffer.filled()))),
        }
    })
}
