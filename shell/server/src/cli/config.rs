//! `tandem config`: check and show the settings.

use std::path::PathBuf;

use clap::Subcommand;

use super::{Options, say};
use crate::config::{Settings, Sources, load, process_environment, reference};

/// What to do with the settings.
#[derive(Subcommand)]
pub enum Command {
    /// Say whether the settings of a file and of the environment can be used, and what is wrong if not.
    Check {
        /// Without it: `TANDEM_CONFIG`, or `tandem.toml` in the current directory where there is one.
        #[arg(env = "TANDEM_CONFIG")]
        file: Option<PathBuf>,
    },
    /// Print all settings as a TOML file with a sentence for each.
    Show {
        /// The defaults instead of what is in force here.
        #[arg(long)]
        defaults: bool,
        #[command(flatten)]
        options: Options,
    },
}

/// Runs it.
pub fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Check { file } => {
            let loaded = load(&Sources { file, environment: process_environment(), flags: Vec::new() })?;
            for warning in &loaded.warnings {
                say(&format!("warning: {warning}"));
            }
            let source = loaded.file.map_or_else(|| "the defaults".to_owned(), |path| path.display().to_string());
            say(&format!("{source}: the settings can be used"));
        }
        Command::Show { defaults: true, .. } => say(reference::toml(&Settings::default()).trim_end()),
        Command::Show { defaults: false, options } => say(reference::toml(&options.load()?.settings).trim_end()),
    }
    Ok(())
}
