-- What coturn keeps beside users, in its layout.
CREATE TABLE turn_secret (
    realm     TEXT NOT NULL,
    value     TEXT NOT NULL,
    PRIMARY KEY (realm, value)
) STRICT;

CREATE TABLE allowed_peer_ip (
    realm     TEXT NOT NULL,               -- '': of every realm
    ip_range  TEXT NOT NULL,
    PRIMARY KEY (realm, ip_range)
) STRICT;

CREATE TABLE denied_peer_ip (
    realm     TEXT NOT NULL,
    ip_range  TEXT NOT NULL,
    PRIMARY KEY (realm, ip_range)
) STRICT;

CREATE TABLE turn_origin_to_realm (
    origin    TEXT PRIMARY KEY,
    realm     TEXT NOT NULL
) STRICT;

CREATE TABLE turn_realm_option (
    realm     TEXT NOT NULL,
    opt       TEXT NOT NULL,
    value     TEXT NOT NULL,
    PRIMARY KEY (realm, opt)
) STRICT;

CREATE TABLE oauth_key (
    kid       TEXT PRIMARY KEY,
    ikm_key   TEXT NOT NULL,               -- base64
    timestamp INTEGER NOT NULL DEFAULT 0,  -- seconds since 1970
    lifetime  INTEGER NOT NULL DEFAULT 0,  -- seconds; 0: for ever
    as_rs_alg TEXT NOT NULL DEFAULT '',
    realm     TEXT NOT NULL DEFAULT ''
) STRICT;
