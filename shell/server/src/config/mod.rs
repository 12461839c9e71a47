//! Settings: file, then environment, then flags; each overrules the one before.
//!
//! What exists is declared in `settings.rs`; this file merges the sources and says which of them is at fault. Whether the
//! settings fit together is asked in `check.rs`; how they are shown is in `reference.rs`.

pub mod check;
pub mod reference;
pub mod settings;
pub mod types;

use std::fmt;
use std::path::{Path, PathBuf};

use figment::providers::{Format as _, Toml};
use figment::value::{Dict, Map, Tag, Value};
use figment::{Figment, Metadata, Profile, Provider};

pub use settings::Settings;
use settings::{Setting, TABLE};
use types::Shape;

/// Read when no file is named and it exists.
pub const USUAL_FILE: &str = "tandem.toml";

/// Where settings come from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Must exist. Without it [`USUAL_FILE`] is read where there is one.
    pub file: Option<PathBuf>,
    /// All variables of the process; others than `TANDEM_…` are left alone.
    pub environment: Vec<(String, String)>,
    /// Key and value of each flag.
    pub flags: Vec<(String, String)>,
}

/// What came of it.
#[derive(Debug)]
pub struct Loaded {
    /// They fit together.
    pub settings: Settings,
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// Where to read them again.
    pub sources: Sources,
    /// Variables that look like settings and are none.
    pub warnings: Vec<String>,
}

/// Everything that is wrong, one sentence each.
#[derive(Debug, PartialEq, Eq)]
pub struct Invalid(pub Vec<String>);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the settings cannot be used:")?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  - {problem}"))
    }
}

impl std::error::Error for Invalid {}

/// Reads, merges and checks.
pub fn load(sources: &Sources) -> Result<Loaded, Invalid> {
    let file = sources.file.clone().or_else(|| Some(PathBuf::from(USUAL_FILE)).filter(|usual| usual.exists()));
    let mut figment = Figment::new();
    if let Some(path) = &file {
        figment = figment.merge(read_file(path)?);
    }
    let (variables, warnings) = environment(&sources.environment)?;
    figment = figment.merge(variables).merge(flags(&sources.flags)?);
    let settings: Settings = figment.extract().map_err(|error| Invalid(error.into_iter().map(explain).collect()))?;
    let problems = check::problems(&settings);
    if problems.is_empty() {
        Ok(Loaded { settings, file, sources: sources.clone(), warnings })
    } else {
        Err(Invalid(problems))
    }
}

/// The variables of this process that are text.
pub fn process_environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

fn read_file(path: &Path) -> Result<impl Provider, Invalid> {
    let at = path.display();
    let text = std::fs::read_to_string(path).map_err(|e| Invalid(vec![format!("{at}: cannot be read: {e}")]))?;
    let table: toml::Table = text.parse().map_err(|e: toml::de::Error| Invalid(vec![format!("{at}: {e}")]))?;
    let unknown = unknown_keys(&table);
    if !unknown.is_empty() {
        return Err(Invalid(unknown.into_iter().map(|problem| format!("{at}: {problem}")).collect()));
    }
    Ok(FromFile { path: path.to_owned(), inner: Toml::string(&text) })
}

fn unknown_keys(table: &toml::Table) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, value) in table {
        let is_section = settings::SECTIONS.iter().any(|(section, _)| section == name);
        match value {
            toml::Value::Table(inner) if is_section => {
                let keys = inner.keys().map(|key| format!("{name}.{key}"));
                problems.extend(keys.filter(|key| find(key).is_none()).map(|key| unknown(&key)));
            }
            _ if is_section => problems.push(format!("`{name}` is a section: write `[{name}]` on a line of its own")),
            _ if find(name).is_some() => {}
            _ => problems.push(unknown(name)),
        }
    }
    problems
}

fn find(key: &str) -> Option<&'static Setting> {
    TABLE.iter().find(|setting| setting.key() == key)
}

fn unknown(key: &str) -> String {
    let names =
        TABLE.iter().map(Setting::key).chain(settings::SECTIONS.iter().map(|(section, _)| (*section).to_owned()));
    match nearest(key, names) {
        Some(name) => format!("there is no setting `{key}`; did you mean `{name}`?"),
        None => format!("there is no setting `{key}`; `tandem config show --defaults` lists all"),
    }
}

fn nearest(key: &str, names: impl Iterator<Item = String>) -> Option<String> {
    let likeness = |name: String| (strsim::jaro_winkler(key, &name), name);
    names.map(likeness).filter(|(score, _)| *score > 0.8).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
}

/// Variables with another meaning than a setting.
const OTHER_VARIABLES: [&str; 3] = ["TANDEM_CONFIG", "TANDEM_GENERATE", "TANDEM_SKIP_WEB_BUILD"];

/// An unknown variable only warns: container platforms add some of their own under the names of services.
fn environment(variables: &[(String, String)]) -> Result<(Given, Vec<String>), Invalid> {
    let mut given = Given { name: "the environment", variable: true, entries: Vec::new() };
    let mut warnings = Vec::new();
    let mut problems = Vec::new();
    for (name, text) in variables.iter().filter(|(name, _)| name.starts_with("TANDEM_")) {
        match TABLE.iter().find(|setting| setting.variable() == *name) {
            Some(setting) => match as_value(setting, text) {
                Ok(value) => given.entries.push((setting, value)),
                Err(problem) => problems.push(format!("{name} (environment): {problem}")),
            },
            None if OTHER_VARIABLES.contains(&name.as_str()) => {}
            None => warnings.push(match nearest(name, TABLE.iter().map(Setting::variable)) {
                Some(near) => format!("{name} in the environment is no setting; did you mean {near}?"),
                None => format!("{name} in the environment is no setting"),
            }),
        }
    }
    if problems.is_empty() { Ok((given, warnings)) } else { Err(Invalid(problems)) }
}

fn flags(flags: &[(String, String)]) -> Result<Given, Invalid> {
    let mut given = Given { name: "the command line", variable: false, entries: Vec::new() };
    for (key, text) in flags {
        let setting = find(key).ok_or_else(|| Invalid(vec![unknown(key)]))?;
        let value = as_value(setting, text).map_err(|problem| Invalid(vec![format!("--{key}: {problem}")]))?;
        given.entries.push((setting, value));
    }
    Ok(given)
}

fn as_value(setting: &Setting, text: &str) -> Result<Value, String> {
    let wrong = || format!("expected {}, got \"{text}\"", setting.noun);
    match setting.shape {
        Shape::Text => Ok(Value::from(text)),
        Shape::Boolean => text.parse::<bool>().map(Value::from).map_err(|_| wrong()),
        Shape::Number => text.parse::<i64>().map(Value::from).map_err(|_| wrong()),
        Shape::List => {
            Ok(Value::from(text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>()))
        }
        Shape::Toml => {
            let document: Dict =
                Figment::from(Toml::string(&format!("value = {text}"))).extract().map_err(|_| wrong())?;
            document.get("value").cloned().ok_or_else(wrong)
        }
    }
}

/// figment names the text of a TOML string "TOML source string"; people want the file.
struct FromFile<P> {
    path: PathBuf,
    inner: P,
}

impl<P: Provider> Provider for FromFile<P> {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.path.display().to_string()).interpolater(|_: &Profile, keys: &[&str]| keys.join("."))
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        self.inner.data()
    }
}

/// Values given one by one.
struct Given {
    name: &'static str,
    variable: bool,
    entries: Vec<(&'static Setting, Value)>,
}

impl Provider for Given {
    fn metadata(&self) -> Metadata {
        let variable = self.variable;
        Metadata::named(self.name).interpolater(move |_: &Profile, keys: &[&str]| {
            let key = keys.join(".");
            if variable { find(&key).map_or(key, Setting::variable) } else { format!("--{key}") }
        })
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let mut all = Dict::new();
        for (setting, value) in &self.entries {
            if setting.section.is_empty() {
                all.insert(setting.name.to_owned(), value.clone());
                continue;
            }
            let section =
                all.entry(setting.section.to_owned()).or_insert_with(|| Value::Dict(Tag::Default, Dict::new()));
            if let Value::Dict(_, entries) = section {
                entries.insert(setting.name.to_owned(), value.clone());
            }
        }
        Ok(Map::from([(Profile::Default, all)]))
    }
}

/// Which key in which source, what was expected and what came.
fn explain(error: figment::Error) -> String {
    let key = error.path.join(".");
    let noun = find(&key).map(|setting| setting.noun);
    let place = match (&error.metadata, &error.profile) {
        (Some(metadata), Some(profile)) => {
            format!("{} ({})", metadata.interpolate(profile, &error.path), metadata.name)
        }
        _ => key,
    };
    match (&error.kind, noun) {
        (figment::error::Kind::InvalidType(got, _) | figment::error::Kind::InvalidValue(got, _), Some(noun)) => {
            format!("{place}: expected {noun}, got {got}")
        }
        (figment::error::Kind::UnknownVariant(got, _), Some(noun)) => {
            format!("{place}: expected {noun}, got \"{got}\"")
        }
        (kind, _) => format!("{place}: {kind}"),
    }
}
