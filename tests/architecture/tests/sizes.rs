//! Sizes of things, and the first line of every file.
//!
//! A file beyond the aim explains itself by a line `Size: …` in its head; beyond the limit nothing helps. Functions and
//! parameter lists are clippy's business (`too_many_lines`, `too_many_arguments`).

use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};

/// Above this a file says why, in a line that begins with `Size:`.
const FILE_EXPLAINS: usize = 600;
/// Above this the build fails.
const FILE_FAILS: usize = 1_000;
/// Above this a struct says why, the same way.
const STRUCT_EXPLAINS: usize = 15;
const ARCHITECTURE_FAILS: usize = 300;
const RUST_CEILING: usize = 90_000;
const TYPESCRIPT_CEILING: usize = 28_000;

#[test]
fn files_are_short_or_say_why() {
    let mut wrong = Vec::new();
    for file in sources(&["rs", "ts", "svelte"]) {
        let text = read(&file);
        let lines = lines_without_tests(&text);
        if lines > FILE_FAILS {
            wrong.push(format!("{}: {lines} lines, at most {FILE_FAILS}", file.display()));
        } else if lines > FILE_EXPLAINS && !explains(&text) {
            wrong.push(format!("{}: {lines} lines and no `Size:` line that says why", file.display()));
        }
    }
    assert!(wrong.is_empty(), "split these, or explain them:\n{}", wrong.join("\n"));
}

#[test]
fn every_rust_file_opens_by_saying_what_it_is() {
    let wrong: Vec<_> = sources(&["rs"])
        .into_iter()
        .filter(|file| !read(file).starts_with("//! "))
        .map(|f| f.display().to_string())
        .collect();
    assert!(wrong.is_empty(), "these do not open with `//! `:\n{}", wrong.join("\n"));
}

#[test]
fn structs_have_few_fields_or_say_why() {
    let mut wrong = Vec::new();
    for file in sources(&["rs"]) {
        let parsed = syn::parse_file(&read(&file)).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let mut wide = WideStructs::default();
        wide.visit_file(&parsed);
        wrong.extend(wide.found.iter().map(|what| format!("{}: {what}", file.display())));
    }
    assert!(
        wrong.is_empty(),
        "a child is missing in these, or a `Size:` line in their documentation:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn the_purity_lint_is_nowhere_switched_off() {
    let wrong: Vec<_> = sources(&["rs"])
        .into_iter()
        .filter(|file| file.starts_with(root().join("core")))
        // A test needs some instant to begin with, and may read what is generated.
        .filter(|file| !file.components().any(|part| part.as_os_str() == "tests"))
        .filter(|file| {
            let text = read(file);
            let product = text.split("#[cfg(test)]").next().unwrap_or_default();
            product.contains("clippy::disallowed_methods") || product.contains("clippy::disallowed_types")
        })
        .collect();
    assert!(wrong.is_empty(), "core/ decides and touches nothing: {wrong:?}");
}

#[test]
fn the_architecture_page_fits() {
    let lines = read(&root().join("ARCHITECTURE.md")).lines().count();
    assert!(lines <= ARCHITECTURE_FAILS, "ARCHITECTURE.md has {lines} lines, at most {ARCHITECTURE_FAILS}");
}

#[test]
fn the_whole_stays_below_its_ceiling() {
    let (rust, typescript) = (product(&["rs"]), product(&["ts", "svelte"]));
    assert!(rust <= RUST_CEILING, "{rust} lines of Rust, at most {RUST_CEILING}");
    assert!(typescript <= TYPESCRIPT_CEILING, "{typescript} lines of TypeScript, at most {TYPESCRIPT_CEILING}");
}

/// Lines of what is shipped. Those that prove it are not counted: `docs/decisions/0012`.
fn product(kinds: &[&str]) -> usize {
    let proves = |file: &PathBuf| {
        let folders = ["tests", "test", "benches", "fuzz", "sim", "e2e", "dev"];
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        file.strip_prefix(root())
            .unwrap_or(file)
            .components()
            .any(|part| part.as_os_str().to_str().is_some_and(|part| folders.contains(&part)))
            || name == "tests.rs"
    };
    let lines = |file: PathBuf| read(&file).lines().take_while(|line| *line != "#[cfg(test)]").count();
    sources(kinds).into_iter().filter(|file| !proves(file)).map(lines).sum()
}

#[derive(Default)]
struct WideStructs {
    found: Vec<String>,
}

impl<'ast> Visit<'ast> for WideStructs {
    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        let fields = item.fields.len();
        let explained = item.attrs.iter().any(|attribute| match &attribute.meta {
            syn::Meta::NameValue(pair) => {
                matches!(&pair.value, syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. })
                if text.value().trim_start().starts_with("Size:"))
            }
            syn::Meta::Path(_) | syn::Meta::List(_) => false,
        });
        if fields > STRUCT_EXPLAINS && !explained {
            self.found.push(format!("struct {} has {fields} fields", item.ident));
        }
        visit::visit_item_struct(self, item);
    }
}

/// Lines up to the file's own test module.
fn lines_without_tests(text: &str) -> usize {
    text.lines().take_while(|line| line.trim() != "#[cfg(test)]").count()
}

fn explains(text: &str) -> bool {
    text.lines().any(|line| line.trim_start_matches(['/', '!', '<', '-', ' ']).starts_with("Size:"))
}

/// Files somebody wrote: no build output, no generated code, no tests of the browser.
fn sources(kinds: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in ["core", "shell", "sim", "tests", "benches", "web", "fuzz"] {
        walk(&root().join(folder), kinds, &mut found);
    }
    found.sort();
    assert!(!found.is_empty(), "no sources found below {}", root().display());
    found
}

fn walk(folder: &Path, kinds: &[&str], found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() {
            if !matches!(name.to_str(), Some("target" | "node_modules" | "dist" | "generated" | "corpus" | "artifacts"))
            {
                walk(&path, kinds, found);
            }
        } else if path.extension().and_then(|e| e.to_str()).is_some_and(|e| kinds.contains(&e)) {
            found.push(path);
        }
    }
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

fn root() -> PathBuf {
    fs::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).expect("the folder above this crate")
}
