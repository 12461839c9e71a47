-- Times are Unix milliseconds.

CREATE TABLE api_keys (
    id           TEXT PRIMARY KEY,
    name         TEXT NOT NULL,
    hash         BLOB NOT NULL,            -- SHA-256 of the secret part
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER,
    revoked_at   INTEGER
) STRICT;

CREATE TABLE sessions (
    id           TEXT PRIMARY KEY,
    room         TEXT NOT NULL,
    started_at   INTEGER NOT NULL,
    ended_at     INTEGER,
    end_reason   TEXT,
    mode         TEXT                      -- 'p2p', 'relay', or null while nobody has said
) STRICT;

CREATE INDEX sessions_by_start ON sessions (started_at, id);
CREATE INDEX sessions_by_room ON sessions (room, started_at, id);
CREATE INDEX sessions_by_end ON sessions (ended_at);

CREATE TABLE participations (
    number       INTEGER PRIMARY KEY,
    session      TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    participant  TEXT NOT NULL,
    name         TEXT NOT NULL,
    client       TEXT NOT NULL,
    joined_at    INTEGER NOT NULL,
    left_at      INTEGER,
    leave_reason TEXT
) STRICT;

CREATE INDEX participations_by_session ON participations (session, participant);

-- What a later process needs for calls to survive the end of this one.
CREATE TABLE kept_rooms (
    name         TEXT PRIMARY KEY,
    state        TEXT NOT NULL             -- JSON of the engine's RoomKept
) STRICT;

-- When the process was last known to be alive: one row.
CREATE TABLE process (
    number       INTEGER PRIMARY KEY CHECK (number = 1),
    alive_at     INTEGER NOT NULL
) STRICT;
