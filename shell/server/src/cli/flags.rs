//! A flag for every setting, from the table.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use crate::config::settings::{SECTIONS, TABLE};
use crate::config::types::Shape;

/// Key and text of each flag that was given.
pub struct SettingFlags(pub Vec<(String, String)>);

impl Args for SettingFlags {
    fn augment_args(mut command: Command) -> Command {
        for setting in TABLE {
            let key = setting.key();
            let about = SECTIONS.iter().find(|(section, _)| *section == setting.section).map(|(_, about)| *about);
            let mut arg = Arg::new(key.clone())
                .long(key.replace('_', "-"))
                .help(setting.sentence)
                .help_heading(about.unwrap_or("Data"))
                .value_name(value_name(setting.noun))
                .hide_short_help(!IMPORTANT.contains(&key.as_str()));
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

/// Shown by `-h`; the others by `--help`.
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
