-- Users of the relay with passwords of their own. The first three columns are coturn's.
CREATE TABLE turnusers_lt (
    realm          TEXT NOT NULL,
    name           TEXT NOT NULL,
    hmackey        TEXT NOT NULL,          -- MD5(name ":" realm ":" password), hexadecimal
    hmackey_sha256 TEXT,                   -- the same by SHA-256 (RFC 8489)
    userhash       TEXT,                   -- SHA-256(name ":" realm), hexadecimal: USERHASH of RFC 8489 §14.4
    changed_at     INTEGER NOT NULL,
    PRIMARY KEY (realm, name)
) STRICT;

CREATE INDEX turnusers_by_hash ON turnusers_lt (userhash);
