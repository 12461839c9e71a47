//! Namespace `/tandem`: the session protocol itself, each frame the argument of an event `frame`, both ways.

use std::sync::Arc;

use socketioxide::extract::SocketRef;
use tandem_api::signal::{ClientKind, ParseError, Reason};
use tokio::time::{Instant, sleep_until};

use super::mailbox::{Inbox, Mailbox, Said, TooSlow, emit};
use crate::engine::{After, Batch};
use crate::signal::session::{Onward, Session};
use crate::signal::{Shared, origin};

const FRAME: &str = "frame";

/// Before the client is told that it is connected.
pub(super) fn prepare(socket: &SocketRef) -> Result<(), String> {
    Mailbox::attach(socket, &[FRAME]);
    Ok(())
}

/// The client is connected.
pub(super) fn start(socket: SocketRef, shared: &Arc<Shared>) {
    let Some(inbox) = Mailbox::take(&socket) else { return };
    let origin = origin::of_request(socket.req_parts(), ClientKind::Web);
    let session = Session::new(Arc::clone(shared), origin, None);
    tokio::spawn(serve(socket, inbox, session, Arc::clone(shared)));
}

async fn serve(socket: SocketRef, mut inbox: Inbox, mut session: Session, shared: Arc<Shared>) {
    let outbox = Arc::clone(&session.transport.outbox);
    let hello_by = Instant::now() + shared.config.hello_timeout;
    loop {
        let go_on = tokio::select! {
            biased;
            batch = outbox.next() => write(&socket, &session, batch, &shared).await,
            said = inbox.next() => match said {
                Some(said) => { hear(&mut session, said).await; Ok(()) }
                None => Err(TooSlow),
            },
            () = sleep_until(hello_by), if !session.has_hello() => {
                let _ = session.no_hello();
                Ok(())
            }
        };
        if go_on.is_err() {
            break;
        }
    }
    let _ = socket.disconnect();
}

async fn hear(session: &mut Session, said: Said) {
    // A closed outbox says so by its next batch.
    let _: Onward = match said.data {
        Ok(frame) if session.has_hello() => session.handle_text(&frame.to_string()),
        Ok(frame) => Box::pin(session.handle_first(&frame.to_string())).await,
        Err(error) => session.misunderstood(ParseError { reason: Reason::Malformed, detail: error }),
    };
}

async fn write(socket: &SocketRef, session: &Session, batch: Batch, shared: &Shared) -> Result<(), TooSlow> {
    for frame in &batch.frames {
        emit(socket, &session.transport.outbox, FRAME, frame, shared.config.write_timeout).await?;
    }
    if batch.after == After::Wait { Ok(()) } else { Err(TooSlow) }
}
