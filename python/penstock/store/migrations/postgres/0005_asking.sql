-- expand: records by team, model, target, refusals and tags

-- Of the whole alone, which takes no time: tables of days made from now on have them, and those without rows get them here.
-- To build them where rows are would keep all who write waiting for as long as that takes; retention takes those days away.
CREATE INDEX IF NOT EXISTS penstock_records_team ON ONLY penstock_records (team, started_us) WHERE outcome IS NOT NULL;
CREATE INDEX IF NOT EXISTS penstock_records_model ON ONLY penstock_records (model, started_us) WHERE outcome IS NOT NULL;
-- In the order of bytes: those of a provider are a range.
CREATE INDEX IF NOT EXISTS penstock_records_target ON ONLY penstock_records (target COLLATE "C", started_us)
WHERE outcome IS NOT NULL;
CREATE INDEX IF NOT EXISTS penstock_records_status ON ONLY penstock_records (status, started_us)
WHERE outcome IS NOT NULL AND status >= 400;
CREATE INDEX IF NOT EXISTS penstock_records_tags ON ONLY penstock_records USING gin (tags jsonb_path_ops)
WHERE outcome IS NOT NULL;

DO $$
DECLARE
    part record;
    of record;
    has_rows boolean;
BEGIN
    FOR part IN
        SELECT c.oid::regclass AS place, c.relname AS name FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'penstock_records'::regclass ORDER BY c.oid
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT 1 FROM %s)', part.place) INTO has_rows;
        CONTINUE WHEN has_rows;
        FOR of IN
            SELECT * FROM (VALUES
                ('team', '(team, started_us) WHERE outcome IS NOT NULL'),
                ('model', '(model, started_us) WHERE outcome IS NOT NULL'),
                ('target', '(target COLLATE "C", started_us) WHERE outcome IS NOT NULL'),
                ('status', '(status, started_us) WHERE outcome IS NOT NULL AND status >= 400'),
                ('tags', 'USING gin (tags jsonb_path_ops) WHERE outcome IS NOT NULL')
            ) AS v (index, what)
        LOOP
            EXECUTE format('CREATE INDEX %I ON %s %s', part.name || '_' || of.index, part.place, of.what);
            EXECUTE format(
                'ALTER INDEX %I ATTACH PARTITION %I', 'penstock_records_' || of.index, part.name || '_' || of.index
            );
        END LOOP;
    END LOOP;
END $$;
