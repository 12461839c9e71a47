//! coturn's connection strings, `key=value` between spaces, as our URLs.

/// What a connection string says.
#[derive(Default)]
struct Connection {
    host: Option<String>,
    port: Option<u16>,
    user: Option<String>,
    password: Option<String>,
    database: Option<String>,
    /// For behind the question mark.
    options: Vec<(&'static str, String)>,
    tls: bool,
}

/// PostgreSQL's own notation, which may be a URL already.
pub(super) fn postgres(text: &str) -> Result<String, String> {
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        return Ok(text.to_owned());
    }
    let known = [("sslmode", "sslmode"), ("sslrootcert", "sslrootcert"), ("sslcert", "sslcert"), ("sslkey", "sslkey")];
    let mut connection = Connection::read(text, &known)?;
    // A host that is none, or a directory, is a socket of this machine.
    if connection.host.as_ref().is_none_or(|host| host.starts_with('/')) {
        let all = [
            ("host", connection.host.take().or_else(|| Some("/var/run/postgresql".to_owned()))),
            ("port", connection.port.take().map(|port| port.to_string())),
            ("user", connection.user.take()),
            ("password", connection.password.take()),
        ];
        connection.options.extend(all.into_iter().filter_map(|(name, value)| Some((name, value?))));
    }
    Ok(connection.url("postgres"))
}

pub(super) fn mysql(text: &str) -> Result<String, String> {
    let known = [
        ("ca", "ssl-ca"),
        ("ssl-ca", "ssl-ca"),
        ("cert", "ssl-cert"),
        ("ssl-cert", "ssl-cert"),
        ("key", "ssl-key"),
        ("ssl-key", "ssl-key"),
    ];
    let mut connection = Connection::read(text, &known)?;
    connection.host.get_or_insert_with(|| "localhost".to_owned());
    Ok(connection.url("mysql"))
}

pub(super) fn redis(text: &str) -> Result<String, String> {
    let mut connection = Connection::read(text, &[])?;
    connection.host.get_or_insert_with(|| "127.0.0.1".to_owned());
    Ok(connection.url(if connection.tls { "rediss" } else { "redis" }))
}

impl Connection {
    /// The names are those of coturn's parsers, which take several for the same thing.
    fn read(text: &str, known: &[(&str, &'static str)]) -> Result<Self, String> {
        let mut connection = Self::default();
        for part in text.split_whitespace() {
            // What came is not repeated: it may be a password.
            let (key, value) = part.split_once('=').ok_or("expected `key=value` between spaces")?;
            let value = value.trim_matches('\'').to_owned();
            match key {
                "host" | "ip" | "addr" | "ipaddr" | "hostaddr" => connection.host = Some(value),
                "port" | "p" => {
                    connection.port = Some(value.parse().map_err(|_| format!("expected a port, got `{value}`"))?);
                }
                "user" | "uname" | "name" | "username" => connection.user = Some(value),
                "password" | "pwd" | "passwd" | "secret" => connection.password = Some(value),
                "dbname" | "db" | "database" => connection.database = Some(value),
                "tls" | "ssl" => connection.tls = matches!(value.as_str(), "1" | "true" | "on" | "yes"),
                "connect_timeout" | "timeout" | "read_timeout" => {}
                key => match known.iter().find(|(theirs, _)| *theirs == key) {
                    Some((_, ours)) => connection.options.push((ours, value)),
                    None => {
                        return Err(format!(
                            "`{key}` of the connection has no counterpart: write relay.database by hand"
                        ));
                    }
                },
            }
        }
        Ok(connection)
    }

    fn url(&self, scheme: &str) -> String {
        let mut url = format!("{scheme}://");
        if self.user.is_some() || self.password.is_some() {
            url.push_str(&encode(self.user.as_deref().unwrap_or_default()));
            if let Some(password) = &self.password {
                url.push_str(&format!(":{}", encode(password)));
            }
            url.push('@');
        }
        let host = self.host.as_deref().unwrap_or_default();
        url.push_str(&if host.contains(':') { format!("[{host}]") } else { host.to_owned() });
        if let Some(port) = self.port {
            url.push_str(&format!(":{port}"));
        }
        url.push_str(&format!("/{}", encode(self.database.as_deref().unwrap_or_default())));
        for (index, (name, value)) in self.options.iter().enumerate() {
            url.push_str(&format!("{}{name}={}", if index == 0 { '?' } else { '&' }, encode(value)));
        }
        url
    }
}

/// RFC 3986 §2.3: all but the unreserved characters.
fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_strings_of_coturns_own_examples_become_urls() {
        for (theirs, ours) in [
            ("host=db dbname=turn user=u password=p@:/ connect_timeout=30", "postgres://u:p%40%3A%2F@db/turn"),
            ("host=db port=5433 dbname=turn sslmode=require", "postgres://db:5433/turn?sslmode=require"),
            ("dbname=turn user=u", "postgres:///turn?host=%2Fvar%2Frun%2Fpostgresql&user=u"),
            ("postgresql://u:p@db/turn", "postgresql://u:p@db/turn"),
        ] {
            assert_eq!(postgres(theirs).as_deref(), Ok(ours));
        }
        let theirs = "host=::1 dbname=turn user=u password=p port=3307 connect_timeout=9 read_timeout=9 ca=/x";
        assert_eq!(mysql(theirs).as_deref(), Ok("mysql://u:p@[::1]:3307/turn?ssl-ca=%2Fx"));
        assert_eq!(redis("ip=10.0.0.1 dbname=2 password=p port=6380").as_deref(), Ok("redis://:p@10.0.0.1:6380/2"));
        assert_eq!(redis("tls=true").as_deref(), Ok("rediss://127.0.0.1/"));
    }

    #[test]
    fn what_is_not_understood_is_named_without_repeating_a_password() {
        for wrong in ["password", "hunter2", "host=a port=x", "host=a cipher=hunter2"] {
            assert!(mysql(wrong).is_err_and(|error| !error.contains("hunter2")), "{wrong}");
        }
    }
}
