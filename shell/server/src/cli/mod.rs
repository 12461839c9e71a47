//! The command line: what can be asked of the binary, and the exit codes.
//!
//! Each command is one file; this one parses and dispatches.

mod bench;
mod config;
mod control;
mod flags;
mod health;
mod import;
mod key;
mod peer;
mod resolve;
mod stun;
mod token;
mod turn;
mod turn_app;
mod turn_sessions;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub(crate) use import::networks;

use crate::config::{Invalid, Loaded, Sources, load, process_environment};
use crate::data_dir::DataDir;
use crate::serve;

/// The settings or the command line are wrong (like `EX_CONFIG` of sysexits).
const EXIT_CONFIG: u8 = 78;

/// Open a link and talk: calls between browsers, with the relay they need, from one binary.
#[derive(Parser)]
#[command(name = "tandem", version, propagate_version = true, disable_help_subcommand = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  tandem serve                                   try it: prints a link to open
  tandem serve --data-dir /var/lib/tandem        keep the data elsewhere
  tandem serve --tls.acme-domains talk.example.org --http.port 443 --http.redirect-port 80
                                                 with a real certificate, gotten by itself
  tandem config show --defaults > tandem.toml    a file with all settings to start from
  tandem key create --name billing               a key for the HTTP API
  tandem token create --key-id ID --room blue-otter --identity ann --link https://talk.example.org
                                                 a link for one person
  tandem turn user add alice                     a user of the relay, for programs of your own";

#[derive(Subcommand)]
enum Command {
    /// Run the server until it is told to stop (Ctrl-C, SIGTERM); a second signal stops it at once.
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(Options),
    /// Check or show the settings.
    #[command(subcommand)]
    Config(config::Command),
    /// Keys of the HTTP API.
    #[command(subcommand)]
    Key(key::Command),
    /// Tokens for rooms.
    #[command(subcommand, after_help = token::EXAMPLES)]
    Token(token::Command),
    Stun(stun::Command),
    /// Take over the configuration of another server.
    #[command(subcommand)]
    Import(import::Command),
    /// Users and realms of the relay, and tools that measure relays.
    #[command(subcommand, after_help = turn::EXAMPLES)]
    Turn(turn::Command),
    /// Measure servers.
    #[cfg(feature = "bench-sfu")]
    #[command(subcommand)]
    Bench(Bench),
    /// Have the running server read its settings again: what can be changed is, the rest is named.
    Reload(Options),
    /// What another program must agree on to take over from a running server.
    #[command(hide = true, name = crate::serve::QUESTION)]
    UpgradeTerms(Options),
    /// Ask a running server whether it is well: exit code 0 if so (for containers).
    Health(Options),
}

/// What can be measured; a relay is by `tandem turn bench`.
#[cfg(feature = "bench-sfu")]
#[derive(Subcommand)]
enum Bench {
    Sfu(Box<bench::sfu::Command>),
}

const SERVE_EXAMPLES: &str = "Examples:
  tandem serve --config /etc/tandem.toml
  tandem serve --http.port 9443 --http.redirect-port 0
  TANDEM_LOG_LEVEL=debug tandem serve

Every setting is a flag: docs/reference/settings.md explains them.";

/// Where the settings come from.
#[derive(clap::Args)]
struct Options {
    /// File with settings; `tandem.toml` in the current directory is read without asking.
    #[arg(long, short, value_name = "FILE", env = "TANDEM_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    flags: flags::SettingFlags,
}

impl Options {
    fn load(&self) -> Result<Loaded, Invalid> {
        let (file, flags) = (self.config.clone(), self.flags.0.clone());
        load(&Sources { file, environment: process_environment(), flags })
    }
}

/// The data directory, for a command beside the server or before it.
fn open_data(path: &Path) -> anyhow::Result<DataDir> {
    let data = DataDir::open(path)?;
    if !serve::database(&data).exists() {
        let at = data.path().display();
        note(&format!(
            "{at} is new: no server has used it. If yours has another data directory, name it with --data-dir."
        ));
    }
    Ok(data)
}

/// As it stands, or with `--flag true` understood as `--flag=true`.
fn parse(given: &[OsString]) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(given).or_else(|error| match flags::joined(given) {
        joined if joined == given => Err(error),
        joined => Cli::try_parse_from(joined),
    })
}

/// The whole program.
pub fn main() -> ExitCode {
    let given: Vec<OsString> = std::env::args_os().collect();
    let outcome = match parse(&given).unwrap_or_else(|error| error.exit()).command {
        Command::Serve(options) => options.load().map_err(Into::into).and_then(crate::serve::run),
        Command::Config(command) => config::run(command),
        Command::Key(command) => key::run(command),
        Command::Token(command) => token::run(command),
        Command::Import(command) => import::run(command),
        Command::Stun(command) => stun::run(&command),
        Command::Turn(command) => turn::run(command),
        #[cfg(feature = "bench-sfu")]
        Command::Bench(Bench::Sfu(command)) => bench::sfu::run(&command),
        Command::Reload(options) => turn_sessions::reload(&options),
        Command::UpgradeTerms(options) => {
            options.load().map_err(Into::into).map(|loaded| say(crate::serve::terms(&loaded.settings).trim_end()))
        }
        Command::Health(options) => options.load().map_err(Into::into).and_then(|loaded| health::run(&loaded.settings)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say_error(&error);
            if error.is::<Invalid>() { ExitCode::from(EXIT_CONFIG) } else { ExitCode::FAILURE }
        }
    }
}

#[allow(clippy::print_stderr, reason = "the last word of a command goes to the terminal")]
fn say_error(error: &anyhow::Error) {
    eprintln!("tandem: {error:#}");
}

/// Says something beside the result.
#[allow(clippy::print_stderr, reason = "what is not the result goes to standard error")]
fn note(text: &str) {
    eprintln!("{text}");
}

/// Prints a result. A reader that has gone away (`| head`) has read enough.
fn say(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_is_on_or_off_is_given_with_and_without_an_equals_sign() {
        let given = |line: &str| -> Option<Vec<(String, String)>> {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            match parse(&words).ok()?.command {
                Command::Serve(options) => Some(options.flags.0),
                _ => None,
            }
        };
        let wanted = |value: &str| Some(vec![("relay.allow_loopback".to_owned(), value.to_owned())]);
        for (text, value) in
            [("", "true"), ("=true", "true"), (" true", "true"), ("=false", "false"), (" false", "false")]
        {
            assert_eq!(given(&format!("tandem serve --relay.allow-loopback{text}")), wanted(value), "{text}");
        }
        assert_eq!(given("tandem serve --relay.allow-loopback maybe"), None);
    }

    /// Calls this with the words and the command of each leaf.
    fn each(command: &clap::Command, words: &str, act: &mut impl FnMut(&str, &clap::Command)) {
        if !command.has_subcommands() {
            return act(words, command);
        }
        command.get_subcommands().for_each(|below| each(below, &format!("{words} {}", below.get_name()), act));
    }

    #[test]
    fn the_commands_hang_together_and_those_of_the_relay_show_examples_and_no_settings_of_the_server() {
        let mut all = <Cli as clap::CommandFactory>::command();
        all.build();
        all.clone().debug_assert();
        let mut count = 0;
        for group in ["turn", "stun", "token"] {
            let command = all.find_subcommand(group).expect("a group");
            assert!(command.get_after_help().is_some(), "{group} --help has no examples");
            each(command, group, &mut |words, command| {
                let help = command.clone().render_help().to_string();
                assert!(help.contains("Example") && !help.contains("--http.port"), "{words} -h: {help}");
                count += 1;
            });
        }
        assert!(count > 25, "{count}");
        let serve = all.find_subcommand("serve").expect("a command").clone().render_help().to_string();
        assert!(serve.contains("--http.port") && !serve.contains("--relay.nat64-prefixes"), "{serve}");
    }

    #[test]
    fn what_can_be_understood_as_it_stands_is_not_read_otherwise() {
        let line = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        let add = |text: &str| match parse(&line(text)).ok()?.command {
            Command::Turn(turn::Command::App(turn_app::Command::Add { name, options, .. })) => {
                Some((name, options.flags.0))
            }
            _ => None,
        };
        let dtls = |value: &str| vec![("relay.dtls".to_owned(), value.to_owned())];
        assert_eq!(add("tandem turn app add --relay.dtls true"), Some(("true".to_owned(), dtls("true"))));
        assert_eq!(add("tandem turn app add --relay.dtls false shop"), Some(("shop".to_owned(), dtls("false"))));
        assert_eq!(add("tandem turn app add shop --relay.dtls false"), Some(("shop".to_owned(), dtls("false"))));
    }
}
