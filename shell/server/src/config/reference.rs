//! The settings for people: sample file and reference page, both from the table.

use std::fmt::Write as _;

use super::settings::{SECTIONS, Setting, Settings, TABLE};

/// A TOML file with every setting, its sentence above it. Settings without a value are commented out.
pub fn toml(settings: &Settings) -> String {
    let mut page = String::new();
    for setting in in_section("") {
        entry(&mut page, setting, settings);
    }
    for (section, about) in SECTIONS {
        let _ = write!(page, "\n# {about}.\n[{section}]\n");
        for setting in in_section(section) {
            entry(&mut page, setting, settings);
        }
    }
    page
}

fn entry(page: &mut String, setting: &Setting, settings: &Settings) {
    let _ = writeln!(page, "\n# {}", setting.sentence);
    let _ = match (setting.value)(settings) {
        Some(value) => writeln!(page, "{} = {value}", setting.name),
        None => writeln!(page, "# {} = … ({})", setting.name, setting.noun.replace('`', "")),
    };
}

/// `docs/reference/settings.md`.
pub fn markdown() -> String {
    let mut page = String::from(
        "<!-- Generated from shell/server/src/config/settings.rs by `make generate`; do not edit. -->\n\n# Settings\n\n\
         A good default beats a setting: `tandem serve` needs none of these.\n\n\
         Each may stand in a TOML file (`tandem serve --config FILE`; without it `tandem.toml` in the current directory, where \
         there is one), in the environment, and on the command line; each overrules the one before. An unknown key in the file is \
         an error. `tandem config check FILE` says what is wrong with a file, `tandem config show --defaults` prints one with \
         all of these in it.\n\nIn the environment and in flags, lists are written with commas.\n",
    );
    table(&mut page, "");
    for (section, about) in SECTIONS {
        let _ = write!(page, "\n## {section}\n\n{about}.\n");
        table(&mut page, section);
    }
    page
}

fn table(page: &mut String, section: &str) {
    let defaults = Settings::default();
    page.push_str("\n| Key | Type | Default | What it does | A change counts |\n|---|---|---|---|---|\n");
    for setting in in_section(section) {
        let default = (setting.value)(&defaults).map_or_else(|| "not set".to_owned(), |value| format!("`{value}`"));
        let (key, variable, noun) = (setting.key(), setting.variable(), setting.noun);
        // As `--help` shows it; with an underscore it is understood, too.
        let flag = key.replace('_', "-");
        let (sentence, effect) = (setting.sentence, setting.effect.sentence());
        let _ =
            writeln!(page, "| `{key}`<br>`{variable}`<br>`--{flag}` | {noun} | {default} | {sentence} | {effect} |");
    }
}

fn in_section(section: &str) -> impl Iterator<Item = &'static Setting> {
    TABLE.iter().filter(move |setting| setting.section == section)
}
