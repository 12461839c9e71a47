//! The control socket: the HTTP API without a key, for whoever may open `control.sock` in the data directory, which is
//! the user that runs the server.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use axum::Router;
use tokio::net::UnixListener;
use tokio::sync::watch;

/// Where it is.
pub fn path(data: &Path) -> PathBuf {
    data.join("control.sock")
}

/// Opens it. The data directory is claimed: whatever is there was left by a process that is gone.
pub fn open(data: &Path) -> anyhow::Result<UnixListener> {
    let path = path(data);
    let at = path.display();
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error).with_context(|| format!("{at}")),
        _ => {}
    }
    let listener = UnixListener::bind(&path)
        .with_context(|| format!("{at} cannot be opened; a path must have fewer than 108 bytes: see --data-dir"))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).with_context(|| format!("{at} stays open to all"))?;
    Ok(listener)
}

/// Serves until it is told to stop.
pub async fn run(listener: UnixListener, router: Router, mut stopping: watch::Receiver<bool>) {
    let stopped = async move {
        let _ = stopping.wait_for(|stop| *stop).await;
    };
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stopped).await {
        tracing::error!(%error, "the control socket");
    }
}
