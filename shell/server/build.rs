//! Builds the web client into `web/dist`, from where it is embedded, so that `cargo run` alone is enough.
//!
//! Without npm, or with `TANDEM_SKIP_WEB_BUILD=1`, what is in `web/dist` is used as it is; where nothing is there the
//! server shows a page that says so.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=TANDEM_SKIP_WEB_BUILD");
    let Some(root) = repository() else { return };
    let web = root.join("web");
    if let Err(error) = std::fs::create_dir_all(web.join("dist")) {
        println!("cargo:warning=web/dist cannot be made: {error}");
    }
    let workspace = [&web, &root].into_iter().find(|folder| folder.join("package.json").exists());
    let Some(workspace) = workspace else { return };
    watch(&web, workspace);
    if std::env::var_os("TANDEM_SKIP_WEB_BUILD").is_some_and(|value| !value.is_empty() && value != "0") {
        return;
    }
    if let Err(problem) = build(workspace) {
        println!("cargo:warning=the web client is not built: {problem}");
        if !web.join("dist/index.html").exists() {
            println!(
                "cargo:warning=the server will show a page that says so; install Node 20.19 or later and build again"
            );
        }
    }
}

fn repository() -> Option<PathBuf> {
    let package = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR")?);
    package.ancestors().nth(2).map(Path::to_path_buf)
}

/// Sources only: what the build itself writes must not start it again.
fn watch(web: &Path, workspace: &Path) {
    for file in ["package.json", "package-lock.json"] {
        println!("cargo:rerun-if-changed={}", workspace.join(file).display());
    }
    for part in ["sdk", "app"] {
        for name in ["src", "public", "build", "package.json", "vite.config.ts", "svelte.config.js", "tsconfig.json"] {
            let path = web.join(part).join(name);
            if path.exists() {
                println!("cargo:rerun-if-changed={}", path.display());
            }
        }
        pages(&web.join(part));
    }
}

fn pages(folder: &Path) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    for page in entries.filter(|path| path.extension().is_some_and(|extension| extension == "html")) {
        println!("cargo:rerun-if-changed={}", page.display());
    }
}

fn build(workspace: &Path) -> Result<(), String> {
    if is_stale(workspace) {
        npm(workspace, &["ci", "--ignore-scripts", "--no-audit", "--no-fund"])?;
    }
    npm(workspace, &["run", "build"])
}

/// npm leaves a copy of the lockfile's content in `node_modules`; an older one means other packages.
fn is_stale(workspace: &Path) -> bool {
    let changed = |path: &Path| std::fs::metadata(path).and_then(|data| data.modified()).ok();
    let installed = changed(&workspace.join("node_modules/.package-lock.json"));
    installed.is_none() || installed < changed(&workspace.join("package-lock.json"))
}

fn npm(workspace: &Path, arguments: &[&str]) -> Result<(), String> {
    let said =
        Command::new("npm").args(arguments).current_dir(workspace).output().map_err(|error| format!("npm: {error}"))?;
    if said.status.success() {
        return Ok(());
    }
    // Cargo shows warnings only; the last lines say what happened.
    let text = String::from_utf8_lossy(&said.stderr).into_owned() + &String::from_utf8_lossy(&said.stdout);
    for line in text.lines().rev().take(15).collect::<Vec<_>>().into_iter().rev() {
        println!("cargo:warning=npm: {line}");
    }
    Err(format!("`npm {}` failed", arguments.join(" ")))
}
