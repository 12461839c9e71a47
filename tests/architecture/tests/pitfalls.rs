//! The tests that a page of the documentation names are there: what it promises is proved, and stays so.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_pitfall_of_the_relay_names_tests_that_exist() {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let page = fs::read_to_string(root.join("docs/reference/relay-pitfalls.md")).expect("the page");
    let mut tests = BTreeSet::new();
    for folder in ["core", "shell", "sim"] {
        collect(&root.join(folder), &mut tests);
    }
    let mut rows = 0;
    let mut missing = Vec::new();
    for row in page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| #")) {
        let Some(cell) = row.trim_end_matches(['|', ' ']).rsplit(" | ").next() else { continue };
        let named: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
        // A row without a test says why, in words.
        assert!(!named.is_empty() || cell.len() > 30, "no test and no reason: {row}");
        rows += 1;
        missing.extend(named.into_iter().filter(|name| !tests.contains(*name)).map(str::to_owned));
    }
    assert!(rows > 20, "the table has {rows} rows");
    assert!(missing.is_empty(), "there are no such tests: {missing:#?}");
}

/// Names of all functions below a folder: tests carry names that nothing else has.
fn collect(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a file");
            for line in text.lines() {
                if let Some((_, rest)) = line.split_once("fn ") {
                    let name: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                    names.insert(name);
                }
            }
        }
    }
}
