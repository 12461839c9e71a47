//! Users of the relay with passwords of their own: long-term keys, in the table that coturn has for them.

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use crate::database::{Error, Store, hex, signed, unsigned};

/// A user and the keys of its password, which itself is not kept. Has no `Debug`: a key is as good as the password.
#[derive(Clone, PartialEq, Eq)]
pub struct TurnUser {
    /// REALM.
    pub realm: String,
    /// USERNAME, prepared as OpaqueString.
    pub name: String,
    /// `MD5(name ":" realm ":" password)`.
    pub md5: [u8; 16],
    /// `SHA-256(name ":" realm ":" password)`; coturn keeps none.
    pub sha256: Option<[u8; 32]>,
}

/// A user as far as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedTurnUser {
    /// REALM.
    pub realm: String,
    /// USERNAME.
    pub name: String,
    /// When it was added, or got another password.
    pub changed_at: u64,
}

impl Store {
    /// Adds a user, or gives it another password. `userhash`: RFC 8489 §14.4. Tells whether the user is new.
    pub async fn put_turn_user(&self, user: &TurnUser, userhash: [u8; 32], now: u64) -> Result<bool, Error> {
        let is_new = self.find_turn_user(&user.realm, &user.name).await?.is_none();
        let sql = "INSERT OR REPLACE INTO turnusers_lt (realm, name, hmackey, hmackey_sha256, userhash, changed_at) \
                   VALUES (?, ?, ?, ?, ?, ?)";
        sqlx::query(sql)
            .bind(&user.realm)
            .bind(&user.name)
            .bind(hex(&user.md5))
            .bind(user.sha256.map(|key| hex(&key)))
            .bind(hex(&userhash))
            .bind(signed(now))
            .execute(&self.pool)
            .await?;
        Ok(is_new)
    }

    /// Removes a user. `false`: there was none.
    pub async fn remove_turn_user(&self, realm: &str, name: &str) -> Result<bool, Error> {
        let sql = "DELETE FROM turnusers_lt WHERE realm = ? AND name = ?";
        Ok(sqlx::query(sql).bind(realm).bind(name).execute(&self.pool).await?.rows_affected() > 0)
    }

    /// All of them, by realm and name.
    pub async fn list_turn_users(&self) -> Result<Vec<ListedTurnUser>, Error> {
        let sql = "SELECT realm, name, changed_at FROM turnusers_lt ORDER BY realm, name";
        let rows = sqlx::query(sql).fetch_all(&self.pool).await?;
        let read = |row: &SqliteRow| {
            Ok(ListedTurnUser {
                realm: row.try_get("realm")?,
                name: row.try_get("name")?,
                changed_at: unsigned(row.try_get("changed_at")?),
            })
        };
        Ok(rows.iter().map(read).collect::<Result<_, sqlx::Error>>()?)
    }

    /// The user of this name.
    pub async fn find_turn_user(&self, realm: &str, name: &str) -> Result<Option<TurnUser>, Error> {
        let sql = "SELECT realm, name, hmackey, hmackey_sha256 FROM turnusers_lt WHERE realm = ? AND name = ?";
        let row = sqlx::query(sql).bind(realm).bind(name).fetch_optional(&self.pool).await?;
        row.as_ref().map(read).transpose()
    }

    /// The user behind a USERHASH.
    pub async fn find_turn_user_by_hash(&self, realm: &str, userhash: [u8; 32]) -> Result<Option<TurnUser>, Error> {
        let sql = "SELECT realm, name, hmackey, hmackey_sha256 FROM turnusers_lt WHERE userhash = ? AND realm = ?";
        let row = sqlx::query(sql).bind(hex(&userhash)).bind(realm).fetch_optional(&self.pool).await?;
        row.as_ref().map(read).transpose()
    }
}

fn read(row: &SqliteRow) -> Result<TurnUser, Error> {
    let (realm, name): (String, String) = (row.try_get("realm")?, row.try_get("name")?);
    let broken = || Error::Misuse(format!("the key of {name} in {realm} is not hexadecimal of the right length"));
    let md5 = unhex(&row.try_get::<String, _>("hmackey")?).ok_or_else(broken)?;
    let sha256: Option<String> = row.try_get("hmackey_sha256")?;
    let sha256 = sha256.map(|text| unhex(&text).ok_or_else(broken)).transpose()?;
    Ok(TurnUser { realm, name, md5, sha256 })
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let bytes = text.as_bytes().as_chunks::<2>();
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let pair = |[high, low]: &[u8; 2]| Some(digit(*high)? << 4 | digit(*low)?);
    let (pairs, []) = bytes else { return None };
    pairs.iter().map(pair).collect::<Option<Vec<u8>>>()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_being_written_and_what_is_not_one_is_refused() {
        assert_eq!(unhex::<3>(&hex(&[0, 0x9f, 0xff])), Some([0, 0x9f, 0xff]));
        for text in ["", "00", "00000", "0000000", "00000g", "+1+1+1"] {
            assert_eq!(unhex::<3>(text), None, "{text}");
        }
    }
}
