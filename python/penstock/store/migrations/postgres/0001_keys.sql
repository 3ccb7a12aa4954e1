-- expand: keys with their secrets, teams, admin tokens, and the changes made to them

CREATE TABLE penstock_state (
    only_row smallint PRIMARY KEY CHECK (only_row = 1),
    id text COLLATE "C" NOT NULL,           -- tells this store from any other
    version bigint NOT NULL                 -- of the newest change; each takes its own from here
);
INSERT INTO penstock_state (only_row, id, version) VALUES (1, replace(gen_random_uuid()::text, '-', ''), 0);

CREATE TABLE penstock_teams (
    id text COLLATE "C" PRIMARY KEY,
    name text NOT NULL,
    folded text NOT NULL,                   -- the name without case, for searching
    name_hash text,                         -- SHA-256 of the name: an index entry has a bound, a name has none
    models jsonb,                           -- JSON; NULL allows all
    paths jsonb,
    networks jsonb,
    state text NOT NULL,
    tags jsonb NOT NULL,
    created_us bigint NOT NULL,
    version bigint NOT NULL,
    deleted_us bigint                       -- when it became a tombstone
);
CREATE UNIQUE INDEX penstock_teams_version ON penstock_teams (version);
CREATE UNIQUE INDEX penstock_teams_name ON penstock_teams (name_hash) WHERE state <> 'deleted';
CREATE INDEX penstock_teams_deleted ON penstock_teams (deleted_us) WHERE state = 'deleted';

CREATE TABLE penstock_keys (
    id text COLLATE "C" PRIMARY KEY,
    name text NOT NULL,
    folded text NOT NULL,
    team text COLLATE "C",
    owner text,
    models jsonb,
    paths jsonb,
    networks jsonb,
    expires_us bigint,
    state text NOT NULL,
    tags jsonb NOT NULL,
    created_us bigint NOT NULL,
    last_used_us bigint,
    cut_us bigint,
    version bigint NOT NULL,
    deleted_us bigint
) WITH (fillfactor = 90);                   -- room for last_used_us to change in place
CREATE UNIQUE INDEX penstock_keys_version ON penstock_keys (version);
CREATE INDEX penstock_keys_team ON penstock_keys (team, id) WHERE state <> 'deleted';
CREATE INDEX penstock_keys_deleted ON penstock_keys (deleted_us) WHERE state = 'deleted';

CREATE TABLE penstock_secrets (
    key_id text COLLATE "C" NOT NULL,
    generation bigint NOT NULL,
    hash text NOT NULL,
    until_us bigint,
    PRIMARY KEY (key_id, generation)
);

CREATE TABLE penstock_admin_tokens (
    id text COLLATE "C" PRIMARY KEY,
    name text NOT NULL,
    folded text NOT NULL,
    role text NOT NULL,
    digest text NOT NULL,
    state text NOT NULL,
    created_us bigint NOT NULL,
    version bigint NOT NULL,
    deleted_us bigint
);
CREATE UNIQUE INDEX penstock_admin_tokens_version ON penstock_admin_tokens (version);
CREATE INDEX penstock_admin_tokens_deleted ON penstock_admin_tokens (deleted_us) WHERE state = 'deleted';

CREATE TABLE penstock_changes (
    version bigint PRIMARY KEY,
    id text COLLATE "C" NOT NULL UNIQUE,    -- by which a retry sees that the change was made
    at_us bigint NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    subject text COLLATE "C" NOT NULL,
    row_before jsonb,                       -- JSON without secrets
    row_after jsonb
);
CREATE INDEX penstock_changes_subject ON penstock_changes (subject, version);
