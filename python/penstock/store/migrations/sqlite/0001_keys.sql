-- expand: keys with their secrets, teams, admin tokens, and the changes made to them

CREATE TABLE penstock_state (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    id TEXT NOT NULL,                       -- tells this store from any other
    version INTEGER NOT NULL                -- of the newest change; each takes its own from here
);
INSERT INTO penstock_state (only_row, id, version) VALUES (1, lower(hex(randomblob(16))), 0);

CREATE TABLE penstock_teams (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    folded TEXT NOT NULL,                   -- the name without case, for searching
    name_hash TEXT,                         -- SHA-256 of the name: an index entry has a bound, a name has none
    models TEXT,                            -- JSON; NULL allows all
    paths TEXT,
    networks TEXT,
    state TEXT NOT NULL,
    tags TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    version INTEGER NOT NULL,
    deleted_us INTEGER                      -- when it became a tombstone
);
CREATE UNIQUE INDEX penstock_teams_version ON penstock_teams (version);
CREATE UNIQUE INDEX penstock_teams_name ON penstock_teams (name_hash) WHERE state <> 'deleted';
CREATE INDEX penstock_teams_deleted ON penstock_teams (deleted_us) WHERE state = 'deleted';

CREATE TABLE penstock_keys (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    folded TEXT NOT NULL,
    team TEXT,
    owner TEXT,
    models TEXT,
    paths TEXT,
    networks TEXT,
    expires_us INTEGER,
    state TEXT NOT NULL,
    tags TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    last_used_us INTEGER,
    cut_us INTEGER,
    version INTEGER NOT NULL,
    deleted_us INTEGER
);
CREATE UNIQUE INDEX penstock_keys_version ON penstock_keys (version);
CREATE INDEX penstock_keys_team ON penstock_keys (team, id) WHERE state <> 'deleted';
CREATE INDEX penstock_keys_deleted ON penstock_keys (deleted_us) WHERE state = 'deleted';

CREATE TABLE penstock_secrets (
    key_id TEXT NOT NULL,
    generation INTEGER NOT NULL,
    hash TEXT NOT NULL,
    until_us INTEGER,
    PRIMARY KEY (key_id, generation)
) WITHOUT ROWID;

CREATE TABLE penstock_admin_tokens (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    folded TEXT NOT NULL,
    role TEXT NOT NULL,
    digest TEXT NOT NULL,
    state TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    version INTEGER NOT NULL,
    deleted_us INTEGER
);
CREATE UNIQUE INDEX penstock_admin_tokens_version ON penstock_admin_tokens (version);
CREATE INDEX penstock_admin_tokens_deleted ON penstock_admin_tokens (deleted_us) WHERE state = 'deleted';

CREATE TABLE penstock_changes (
    version INTEGER PRIMARY KEY NOT NULL,
    id TEXT NOT NULL UNIQUE,                -- by which a retry sees that the change was made
    at_us INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    row_before TEXT,                        -- JSON without secrets
    row_after TEXT
);
CREATE INDEX penstock_changes_subject ON penstock_changes (subject, version);
