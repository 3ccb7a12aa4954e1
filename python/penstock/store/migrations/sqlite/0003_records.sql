-- expand: records of requests as the journal has them, how far each journal has come, sums by the hour

CREATE TABLE penstock_records (
    day INTEGER NOT NULL,                   -- days since 1970-01-01 UTC; rises with sequence within an instance
    instance TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    kind INTEGER NOT NULL,                  -- 1 record, 2 begin, 3 gap, 4 removed, 5 end
    hash BLOB NOT NULL,                     -- of the entry
    digest BLOB,                            -- of salt and private part; NULL: it never had one
    private BLOB,                           -- salt and private part; NULL: none, or forgotten
    public BLOB NOT NULL,                   -- the public part as the journal has it; what follows is read from it
    number INTEGER,
    started_us INTEGER,
    count INTEGER,
    request_id TEXT,
    key_id TEXT,
    team TEXT,
    model TEXT,
    target TEXT,
    status INTEGER,
    outcome TEXT,                           -- NULL: the row is no request
    error TEXT,
    tags TEXT,
    prompt_tokens INTEGER,
    completion_tokens INTEGER,
    cached_tokens INTEGER,
    cache_write_tokens INTEGER,
    reasoning_tokens INTEGER,
    audio_tokens INTEGER,
    image_tokens INTEGER,
    cost_nanousd INTEGER,
    total_us INTEGER
);
CREATE INDEX penstock_records_day ON penstock_records (day);
CREATE INDEX penstock_records_entry ON penstock_records (instance, sequence);
CREATE INDEX penstock_records_started ON penstock_records (started_us) WHERE outcome IS NOT NULL;
CREATE INDEX penstock_records_key ON penstock_records (key_id, started_us) WHERE outcome IS NOT NULL;
CREATE INDEX penstock_records_request ON penstock_records (request_id) WHERE outcome IS NOT NULL;

CREATE TABLE penstock_shipped (
    instance TEXT PRIMARY KEY NOT NULL,
    segment INTEGER NOT NULL,               -- the position behind the last entry that is a row
    byte_offset INTEGER NOT NULL,
    sequence INTEGER NOT NULL,              -- of that entry, its hash and its day
    hash BLOB NOT NULL,
    day INTEGER NOT NULL,
    ended INTEGER NOT NULL,                 -- 1: its process is gone and nothing more comes
    at_us INTEGER NOT NULL,
    begun BLOB NOT NULL DEFAULT x''         -- streams whose record has not come: number and sequence, 8 bytes each
);

CREATE TABLE penstock_usage (
    hour INTEGER NOT NULL,                  -- since 1970-01-01 UTC, of started_us
    key_id TEXT NOT NULL,                   -- '': not known; so in all texts
    team TEXT NOT NULL,
    model TEXT NOT NULL,
    target TEXT NOT NULL,
    status INTEGER NOT NULL,                -- 0: none
    tags TEXT NOT NULL,                     -- JSON; '{}': none
    requests INTEGER NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    audio_tokens INTEGER NOT NULL,
    image_tokens INTEGER NOT NULL,
    cost_nanousd INTEGER NOT NULL,
    unpriced INTEGER NOT NULL               -- requests with usage whose cost is not known
);
CREATE UNIQUE INDEX penstock_usage_of ON penstock_usage (hour, key_id, team, model, target, status, tags);
CREATE INDEX penstock_usage_key ON penstock_usage (key_id, hour);
