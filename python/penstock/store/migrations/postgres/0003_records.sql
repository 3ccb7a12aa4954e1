-- expand: records of requests as the journal has them, how far each journal has come, sums by the hour

CREATE TABLE penstock_records (
    day integer NOT NULL,                   -- days since 1970-01-01 UTC; rises with sequence within an instance
    instance text COLLATE "C" NOT NULL,
    sequence bigint NOT NULL,
    kind smallint NOT NULL,                 -- 1 record, 2 begin, 3 gap, 4 removed, 5 end
    hash bytea NOT NULL,                    -- of the entry
    digest bytea,                           -- of salt and private part; NULL: it never had one
    private bytea,                          -- salt and private part; NULL: none, or forgotten
    public bytea NOT NULL,                  -- the public part as the journal has it; what follows is read from it
    number bigint,
    started_us bigint,
    count integer,
    request_id text,
    key_id text COLLATE "C",
    team text COLLATE "C",
    model text,
    target text,
    status smallint,
    outcome text,                           -- NULL: the row is no request
    error text,
    tags jsonb,
    prompt_tokens bigint,
    completion_tokens bigint,
    cached_tokens bigint,
    cache_write_tokens bigint,
    reasoning_tokens bigint,
    audio_tokens bigint,
    image_tokens bigint,
    cost_nanousd bigint,
    total_us bigint
) PARTITION BY RANGE (day);
CREATE INDEX penstock_records_entry ON penstock_records (instance, sequence);
CREATE INDEX penstock_records_started ON penstock_records (started_us) WHERE outcome IS NOT NULL;
CREATE INDEX penstock_records_key ON penstock_records (key_id, started_us) WHERE outcome IS NOT NULL;
CREATE INDEX penstock_records_request ON penstock_records (request_id) WHERE outcome IS NOT NULL;

CREATE TABLE penstock_shipped (
    instance text COLLATE "C" PRIMARY KEY,
    segment bigint NOT NULL,                -- the position behind the last entry that is a row
    byte_offset bigint NOT NULL,
    sequence bigint NOT NULL,               -- of that entry, its hash and its day
    hash bytea NOT NULL,
    day integer NOT NULL,
    ended smallint NOT NULL,                -- 1: its process is gone and nothing more comes
    at_us bigint NOT NULL,
    begun bytea NOT NULL DEFAULT ''         -- streams whose record has not come: number and sequence, 8 bytes each
) WITH (fillfactor = 50);                   -- one row changes with every batch: in place

CREATE TABLE penstock_usage (
    hour integer NOT NULL,                  -- since 1970-01-01 UTC, of started_us
    key_id text COLLATE "C" NOT NULL,       -- '': not known; so in all texts
    team text COLLATE "C" NOT NULL,
    model text COLLATE "C" NOT NULL,
    target text COLLATE "C" NOT NULL,
    status smallint NOT NULL,               -- 0: none
    tags text COLLATE "C" NOT NULL,         -- JSON; '{}': none
    requests bigint NOT NULL,
    prompt_tokens bigint NOT NULL,
    completion_tokens bigint NOT NULL,
    cached_tokens bigint NOT NULL,
    cache_write_tokens bigint NOT NULL,
    reasoning_tokens bigint NOT NULL,
    audio_tokens bigint NOT NULL,
    image_tokens bigint NOT NULL,
    cost_nanousd bigint NOT NULL,
    unpriced bigint NOT NULL                -- requests with usage whose cost is not known
) WITH (fillfactor = 70);
-- An index entry has a bound, which tags may pass.
CREATE UNIQUE INDEX penstock_usage_of ON penstock_usage
    (hour, key_id, team, model, target, status, hashtextextended(tags, 0));
CREATE INDEX penstock_usage_key ON penstock_usage (key_id, hour);
