//! The data directory: made for its owner only, and written so that a crash leaves the old file or the new one.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// An existing directory nobody else can read.
#[derive(Clone, Debug)]
pub struct DataDir(PathBuf);

impl DataDir {
    /// Makes it where it does not exist; closes it to others where it does.
    pub fn open(path: &Path) -> anyhow::Result<DataDir> {
        make(path).with_context(|| {
            let at = path.display();
            format!(
                "the data directory {at} cannot be used; name another with --data-dir, or give this user access to it"
            )
        })?;
        Ok(DataDir(path.canonicalize().unwrap_or_else(|_| path.to_owned())))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Claims it for this process, until what is returned is dropped: two servers would overwrite each other's rooms.
    pub fn claim(&self) -> anyhow::Result<fs::File> {
        let path = self.0.join("lock");
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.with_context(|| format!("{} cannot be opened", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(fs::TryLockError::WouldBlock) => anyhow::bail!(
                "another tandem uses the data directory {}: stop it, or name another directory with --data-dir",
                self.0.display()
            ),
            Err(fs::TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("{} cannot be locked", path.display()))
            }
        }
    }

    /// A directory within.
    pub fn directory(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.0.join(name);
        make(&path).with_context(|| format!("{} cannot be made", path.display()))?;
        Ok(path)
    }
}

fn make(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let metadata = fs::metadata(path)?;
    if metadata.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// Replaces a file as a whole; only its owner may read it.
pub fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(unfinished, path)
}

/// A secret that is made once and kept: 32 random bytes, written as text.
pub fn kept_secret(path: &Path) -> anyhow::Result<String> {
    use base64::Engine as _;
    match fs::read_to_string(path) {
        Ok(text) if text.trim().len() >= 16 => return Ok(text.trim().to_owned()),
        Ok(_) => anyhow::bail!("{} is damaged: delete it, and another secret is made", path.display()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("the system gives no random numbers: {error}"))?;
    let text = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    write_private(path, text.as_bytes()).with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_made_once_and_only_its_owner_may_read_it() {
        let home = tempfile::tempdir().expect("a directory");
        let dir = DataDir::open(&home.path().join("a/b")).expect("a data directory");
        let path = dir.path().join("secret");
        let first = kept_secret(&path).expect("a secret");
        assert_eq!(kept_secret(&path).expect("the same"), first);
        assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(dir.path()).expect("a directory").permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn only_one_server_at_a_time_has_a_data_directory() {
        let home = tempfile::tempdir().expect("a directory");
        let dir = DataDir::open(home.path()).expect("a data directory");
        let claim = dir.claim().expect("the first");
        assert!(dir.claim().expect_err("the second").to_string().contains("another tandem"));
        drop(claim);
        assert!(dir.claim().is_ok());
    }

    #[test]
    fn a_damaged_secret_is_not_used() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("secret");
        fs::write(&path, "x").expect("a file");
        assert!(kept_secret(&path).expect_err("damaged").to_string().contains("delete it"));
    }
}
