-- Programs that hand out credentials of the relay to their users, and what these relay. Times are Unix milliseconds.
CREATE TABLE applications (
    id               TEXT PRIMARY KEY,
    parent           TEXT REFERENCES applications (id) ON DELETE CASCADE,
    name             TEXT NOT NULL,
    hash             BLOB NOT NULL,            -- SHA-256 of the secret part
    created_at       INTEGER NOT NULL,
    enabled          INTEGER NOT NULL,
    generation       INTEGER NOT NULL,         -- grows when all that was issued is taken back
    sessions         INTEGER,                  -- at once; null: no bound
    bytes_per_month  INTEGER,
    origins          TEXT NOT NULL             -- one a line
) STRICT;

CREATE UNIQUE INDEX applications_by_name ON applications (parent, name) WHERE parent IS NOT NULL;

-- What was taken back and has not expired yet: labels and single credentials.
CREATE TABLE revoked_credentials (
    application TEXT NOT NULL,
    kind        TEXT NOT NULL,                 -- 'key', 'tag' or 'credential'
    name        TEXT NOT NULL,                 -- the label, or as the relay is told
    rounds      INTEGER NOT NULL,              -- how often: what is issued afterwards has another name
    until       INTEGER NOT NULL,
    PRIMARY KEY (kind, application, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX revoked_credentials_by_end ON revoked_credentials (until);

-- What was relayed, by minute (of Unix time). Without an application: calls and users of this server.
CREATE TABLE relay_usage (
    minute       INTEGER NOT NULL,
    application  TEXT NOT NULL,
    tag          TEXT NOT NULL,
    sessions     INTEGER NOT NULL,             -- that began
    seconds      INTEGER NOT NULL,             -- of all sessions together
    up_packets   INTEGER NOT NULL,             -- from clients
    up_bytes     INTEGER NOT NULL,
    down_packets INTEGER NOT NULL,             -- to clients
    down_bytes   INTEGER NOT NULL,
    PRIMARY KEY (application, tag, minute)
) STRICT, WITHOUT ROWID;

CREATE INDEX relay_usage_by_minute ON relay_usage (minute);

-- For monthly quotas, which outlive the minutes.
CREATE TABLE relay_months (
    application TEXT NOT NULL,
    month       INTEGER NOT NULL,              -- year * 12 + month, from 0
    bytes       INTEGER NOT NULL,
    PRIMARY KEY (application, month)
) STRICT, WITHOUT ROWID;
