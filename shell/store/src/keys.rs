//! Keys of the HTTP API: `tk_<id>_<secret>`, of which only the SHA-256 of the secret is stored.
//!
//! The secret has 256 random bits, so a fast hash is enough: nobody can try them all.
//!
//! A key signs, too: tokens for rooms, and what webhooks tell. What it signs with is made of that hash, so that whoever holds
//! the key can make it, the server can, and so can whoever reads this table.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use subtle::ConstantTimeEq as _;

use crate::database::{Error, Store, hex, signed, unsigned};

/// A key as far as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Part of the key itself, so that a key found somewhere can be looked up.
    pub id: String,
    /// What the operator calls it.
    pub name: String,
    /// When it was made.
    pub created_at: u64,
    /// Within the last minute before the latest use.
    pub last_used_at: Option<u64>,
    /// Since when it is of no use any more.
    pub revoked_at: Option<u64>,
}

/// A key that was just made.
pub struct MadeKey {
    /// As it is stored.
    pub key: Key,
    /// Shown once, and never again.
    pub text: String,
}

/// What a key signs with. Its text is the key of HMAC as it stands.
#[derive(Clone, PartialEq, Eq)]
pub struct Signer {
    /// The key's identity: `iss` of what is signed.
    pub id: String,
    /// The secret.
    pub secret: String,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Signer {
    /// Of the key that this text is. `None`: it is none. Whether it is known, and good, is not asked.
    pub fn of_key(text: &str) -> Option<Signer> {
        let (id, secret) = split(text)?;
        Some(Signer { id: id.to_owned(), secret: signing_secret(&hash(secret)) })
    }
}

const ID_BYTES: usize = 6;
const SECRET_BYTES: usize = 32;
const MOST_NAME: usize = 100;
/// The time of the last use is written at most this often.
const USE_INTERVAL_MS: u64 = 60_000;

impl Store {
    /// Makes a key.
    pub async fn create_key(&self, name: &str, now: u64) -> Result<MadeKey, Error> {
        let name = named(name)?;
        let (id, secret) = (hex(&random::<ID_BYTES>()?), secret_text()?);
        sqlx::query("INSERT INTO api_keys (id, name, hash, created_at) VALUES (?, ?, ?, ?)")
            .bind(&id)
            .bind(&name)
            .bind(hash(&secret))
            .bind(signed(now))
            .execute(&self.pool)
            .await?;
        let text = format!("tk_{id}_{secret}");
        let key = Key { id, name, created_at: now, last_used_at: None, revoked_at: None };
        Ok(MadeKey { key, text })
    }

    /// All keys, the oldest first, revoked ones included.
    pub async fn list_keys(&self) -> Result<Vec<Key>, Error> {
        let rows = sqlx::query("SELECT * FROM api_keys ORDER BY created_at, id").fetch_all(&self.pool).await?;
        Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
    }

    /// Ends a key. `None`: there is no such key, or it was revoked before.
    pub async fn revoke_key(&self, id: &str, now: u64) -> Result<Option<Key>, Error> {
        let row = sqlx::query("UPDATE api_keys SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL RETURNING *")
            .bind(id)
            .bind(signed(now))
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.as_ref().map(read).transpose()?)
    }

    /// The key this text is, if it is one and may be used.
    pub async fn authenticate(&self, text: &str, now: u64) -> Result<Option<Key>, Error> {
        let Some((id, secret)) = split(text) else { return Ok(None) };
        let row = sqlx::query("SELECT * FROM api_keys WHERE id = ?").bind(id).fetch_optional(&self.pool).await?;
        let Some(row) = row else { return Ok(None) };
        let stored: Vec<u8> = row.try_get("hash")?;
        let key = read(&row)?;
        if !bool::from(stored.as_slice().ct_eq(&hash(secret))) || key.revoked_at.is_some() {
            return Ok(None);
        }
        self.note_use(&key, now).await?;
        Ok(Some(key))
    }

    /// What the key of this identity signs with. `None`: it is unknown or revoked.
    pub async fn signer(&self, id: &str) -> Result<Option<Signer>, Error> {
        let row = sqlx::query("SELECT * FROM api_keys WHERE id = ? AND revoked_at IS NULL").bind(id);
        let Some(row) = row.fetch_optional(&self.pool).await? else { return Ok(None) };
        let stored: Vec<u8> = row.try_get("hash")?;
        Ok(Some(Signer { id: id.to_owned(), secret: signing_secret(&stored) }))
    }

    /// Something that the key of this identity has signed was found to be good.
    pub async fn note_signed(&self, id: &str, now: u64) -> Result<(), Error> {
        let row = sqlx::query("SELECT * FROM api_keys WHERE id = ?").bind(id).fetch_optional(&self.pool).await?;
        let Some(row) = row else { return Ok(()) };
        self.note_use(&read(&row)?, now).await
    }

    async fn note_use(&self, key: &Key, now: u64) -> Result<(), Error> {
        if key.last_used_at.is_none_or(|last| now.saturating_sub(last) >= USE_INTERVAL_MS) {
            let update = sqlx::query("UPDATE api_keys SET last_used_at = ? WHERE id = ?").bind(signed(now));
            update.bind(&key.id).execute(&self.pool).await?;
        }
        Ok(())
    }
}

/// Identity and secret of a key, as far as its form goes.
fn split(text: &str) -> Option<(&str, &str)> {
    let (id, secret) = text.strip_prefix("tk_")?.split_once('_')?;
    (id.len() == 2 * ID_BYTES && !secret.is_empty() && secret.len() <= 2 * SECRET_BYTES).then_some((id, secret))
}

/// From what is stored of a key.
fn signing_secret(stored: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(stored).expect("HMAC takes a key of any length");
    mac.update(PURPOSE);
    URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
}

/// Keeps the secret apart from anything else that is ever made of the hash.
const PURPOSE: &[u8] = b"tandem room tokens";

fn read(row: &SqliteRow) -> Result<Key, sqlx::Error> {
    Ok(Key {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        created_at: unsigned(row.try_get("created_at")?),
        last_used_at: row.try_get::<Option<i64>, _>("last_used_at")?.map(unsigned),
        revoked_at: row.try_get::<Option<i64>, _>("revoked_at")?.map(unsigned),
    })
}

/// What people call a key.
pub(crate) fn named(name: &str) -> Result<String, Error> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > MOST_NAME || name.chars().any(char::is_control) {
        return Err(Error::Misuse(format!("expected a name of 1 to {MOST_NAME} printable characters")));
    }
    Ok(name.to_owned())
}

/// The secret part of a key.
pub(crate) fn secret_text() -> Result<String, Error> {
    Ok(URL_SAFE_NO_PAD.encode(random::<SECRET_BYTES>()?))
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| Error::Random(error.to_string()))?;
    Ok(bytes)
}

pub(crate) fn hash(secret: &str) -> Vec<u8> {
    Sha256::digest(secret.as_bytes()).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_key_signs_with_can_be_made_with_any_tool() {
        // printf SECRET | openssl dgst -sha256 -binary | xxd -p -c 64, and then
        // printf 'tandem room tokens' | openssl dgst -sha256 -mac HMAC -macopt hexkey:HASH -binary | basenc --base64url
        let signer = Signer::of_key("tk_0123456789ab_secret").expect("a key");
        assert_eq!((signer.id.as_str(), signer.secret.as_str()), ("0123456789ab", EXPECTED));
        assert!(!format!("{signer:?}").contains(EXPECTED));
        for wrong in ["", "tk_0123456789ab_", "tk_0123_secret", "ta_0123456789ab_secret", "secret"] {
            assert_eq!(Signer::of_key(wrong), None, "{wrong}");
        }
    }

    const EXPECTED: &str = "2r4hAHqwTGV1pzksTfohNxc0JZt2CSPXxGrVvZs5NIE";
}
