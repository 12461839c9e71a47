//! A server of our own in a temporary directory, and a client that trusts it.

#![allow(dead_code, reason = "each test file uses its part")]

use std::net::SocketAddr;
use std::path::Path;

use tandem_server::config::Settings;
use tandem_server::serve::{Server, database};
use tandem_store::Store;

/// A running server.
pub struct Running {
    pub home: tempfile::TempDir,
    pub server: Server,
    pub client: reqwest::Client,
}

/// Ports of the system's choice, and no relay.
pub fn settings(home: &Path) -> Settings {
    let mut settings = Settings { data_dir: home.to_owned(), ..Settings::default() };
    settings.http.address = "127.0.0.1".parse().expect("an address");
    settings.http.port = 0;
    settings.http.redirect_port = 0;
    settings.relay.enabled = false;
    (settings.media.port, settings.media.threads) = (0, 1);
    settings
}

impl Running {
    pub async fn start() -> Running {
        Self::start_with(|_| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut Settings)) -> Running {
        let home = tempfile::tempdir().expect("a directory");
        Self::start_in(home, change).await
    }

    pub async fn start_in(home: tempfile::TempDir, change: impl FnOnce(&mut Settings)) -> Running {
        let mut settings = settings(home.path());
        change(&mut settings);
        let server = Server::start(settings).await.expect("a server");
        let client = client(&server.certificate());
        Running { home, server, client }
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.server.address().port())
    }

    pub async fn get(&self, path: &str) -> reqwest::Response {
        self.client.get(self.url(path)).send().await.expect("an answer")
    }

    /// As `tandem key create` does it, beside the running server.
    pub async fn key(&self) -> String {
        let data = tandem_server::data_dir::DataDir::open(self.home.path()).expect("the data directory");
        let store = Store::open(&database(&data)).await.expect("the database");
        let text = store.create_key("test", 1).await.expect("a key").text;
        store.close().await;
        text
    }

    pub async fn stop(self) -> tempfile::TempDir {
        drop(self.client);
        self.server.stop().await;
        self.home
    }
}

/// Trusts this certificate and no other.
pub fn client(certificate: &[u8]) -> reqwest::Client {
    let root = reqwest::Certificate::from_der(certificate).expect("a certificate");
    reqwest::Client::builder()
        .add_root_certificate(root)
        .resolve("localhost", SocketAddr::from(([127, 0, 0, 1], 0)))
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("a client")
}
