//! Asks the running server of a data directory, by its control socket.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::serve::control_socket;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[error(
    "no server runs on the data directory {0}: start one with `tandem serve`, or name its directory with --data-dir"
)]
pub struct NotRunning(String);

/// One request below `/api/v1`, and the answer's body.
pub fn ask(data: &Path, method: &str, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
    let socket = control_socket(data);
    let mut stream = UnixStream::connect(&socket).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => NotRunning(data.display().to_string()).into(),
        io::ErrorKind::PermissionDenied => {
            anyhow::anyhow!("{}: only the user that runs the server may ask it this", socket.display())
        }
        _ => anyhow::Error::from(error).context(socket.display().to_string()),
    })?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let body = body.map(Value::to_string).unwrap_or_default();
    let length = body.len();
    write!(
        stream,
        "{method} /api/v1{path} HTTP/1.1\r\nhost: tandem\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.take(MOST).read_to_string(&mut answer).context("the server does not answer")?;
    let (status, body) = split(&answer).context("what answers does not speak HTTP")?;
    let value = if body.is_empty() { Value::Null } else { serde_json::from_str(body).context("no JSON came back")? };
    if !(200..300).contains(&status) {
        let said = value.get("detail").or(value.get("title")).and_then(Value::as_str);
        bail!("{}", said.map_or_else(|| format!("the server answers {status}"), str::to_owned));
    }
    Ok(value)
}

fn split(answer: &str) -> Option<(u16, &str)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.trim()))
}

/// RFC 3986 §2.3: all but the unreserved characters.
pub fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

const PATIENCE: Duration = Duration::from_secs(30);
/// A page of sessions is shorter.
const MOST: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_apart_and_a_name_fits_into_a_query() {
        assert_eq!(split("HTTP/1.1 204 No Content\r\nx: y\r\n\r\n"), Some((204, "")));
        assert_eq!(split("SSH-2.0-x\r\n\r\n"), None);
        assert_eq!(encoded("k1/a b&c"), "k1%2Fa%20b%26c");
    }
}
