//! A flag for every setting, from the table.

use std::ffi::OsString;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use crate::config::settings::{SECTIONS, TABLE};
use crate::config::types::Shape;

/// Key and text of each flag that was given.
pub struct SettingFlags(pub Vec<(String, String)>);

impl Args for SettingFlags {
    fn augment_args(mut command: Command) -> Command {
        let shown = if command.get_name() == "serve" { IMPORTANT.as_slice() } else { &["data_dir"] };
        for setting in TABLE {
            let key = setting.key();
            let about = SECTIONS.iter().find(|(section, _)| *section == setting.section).map(|(_, about)| *about);
            let mut arg = Arg::new(key.clone())
                .long(key.replace('_', "-"))
                .help(setting.sentence)
                .help_heading(about.unwrap_or("Data"))
                .value_name(value_name(setting.noun))
                .hide_short_help(!shown.contains(&key.as_str()));
            if key.contains('_') {
                arg = arg.alias(key);
            }
            arg = match setting.shape {
                Shape::Boolean => arg.num_args(0..=1).default_missing_value("true").require_equals(true),
                Shape::List => arg.action(ArgAction::Append),
                Shape::Number | Shape::Text | Shape::Toml => arg,
            };
            command = command.arg(arg);
        }
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// Takes `--flag true` for `--flag=true` wherever a setting that is on or off is meant. For a command line that cannot be
/// understood as it stands: in one that can, `true` may be somebody's name.
pub fn joined(arguments: &[OsString]) -> Vec<OsString> {
    let end = arguments.iter().position(|argument| argument == "--").unwrap_or(arguments.len());
    let (own, rest) = arguments.split_at(end);
    let mut joined: Vec<OsString> = Vec::with_capacity(arguments.len());
    for argument in own {
        match joined.last_mut() {
            Some(last) if (argument == "true" || argument == "false") && is_switch(last) => {
                last.push("=");
                last.push(argument);
            }
            _ => joined.push(argument.clone()),
        }
    }
    joined.extend_from_slice(rest);
    joined
}

fn is_switch(argument: &OsString) -> bool {
    let name = argument.to_str().and_then(|text| text.strip_prefix("--")).map(|name| name.replace('-', "_"));
    name.is_some_and(|name| {
        TABLE.iter().any(|setting| matches!(setting.shape, Shape::Boolean) && setting.key() == name)
    })
}

/// Shown by `serve -h`; the others, and most of them everywhere else, by `--help`.
const IMPORTANT: [&str; 8] = [
    "data_dir",
    "http.port",
    "http.redirect_port",
    "http.public_url",
    "http.behind_proxy",
    "tls.acme_domains",
    "relay.external_addresses",
    "log.level",
];

fn value_name(noun: &str) -> String {
    noun.split(" (")
        .next()
        .unwrap_or(noun)
        .replace('`', "")
        .replace(" or ", "|")
        .replace(", ", "|")
        .replace(' ', "-")
        .to_uppercase()
}

impl FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut given = Vec::new();
        for key in TABLE.iter().map(|setting| setting.key()) {
            let texts: Vec<&str> = matches.get_many::<String>(&key).into_iter().flatten().map(String::as_str).collect();
            if !texts.is_empty() {
                given.push((key, texts.join(",")));
            }
        }
        Ok(SettingFlags(given))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_and_the_word_behind_it_are_one_and_nothing_else_is() {
        for (given, wanted) in [
            ("serve --relay.allow-loopback true", "serve --relay.allow-loopback=true"),
            ("serve --relay.allow_loopback false --relay.dtls", "serve --relay.allow_loopback=false --relay.dtls"),
            ("serve --relay.dtls --relay.enabled true x", "serve --relay.dtls --relay.enabled=true x"),
            ("serve --relay.dtls=false true", "serve --relay.dtls=false true"),
            ("serve --relay.dtls no", "serve --relay.dtls no"),
            ("serve --relay.realm true", "serve --relay.realm true"),
            ("turn user add --relay.dtls -- true", "turn user add --relay.dtls -- true"),
            ("turn user add -- --relay.dtls true", "turn user add -- --relay.dtls true"),
        ] {
            let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
            assert_eq!(joined(&words(given)), words(wanted));
        }
    }
}
