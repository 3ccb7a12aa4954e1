-- expand: records that have no team are in no index by team, and those without tags in none by tags

-- An entry for each of them would cost as much as any other, and nobody asks for them by it.
DROP INDEX IF EXISTS penstock_records_team, penstock_records_tags;

-- As in 0005: tables of days made from now on have the new ones, and those without rows get them here. Days that have rows
-- lose the old ones, and have neither until retention takes them away, or somebody builds them beside those who write: before
-- this, if nobody is to miss them (docs/usage.md).
CREATE INDEX penstock_records_team ON ONLY penstock_records (team, started_us)
WHERE outcome IS NOT NULL AND team IS NOT NULL;
CREATE INDEX penstock_records_tags ON ONLY penstock_records USING gin (tags jsonb_path_ops)
WHERE outcome IS NOT NULL AND tags IS NOT NULL;

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
                ('team', '(team, started_us) WHERE outcome IS NOT NULL AND team IS NOT NULL'),
                ('tags', 'USING gin (tags jsonb_path_ops) WHERE outcome IS NOT NULL AND tags IS NOT NULL')
            ) AS v (index, what)
        LOOP
            -- One of that name may be left over where it was built by hand, and not attached.
            EXECUTE format('DROP INDEX IF EXISTS %I', part.name || '_' || of.index);
            EXECUTE format('CREATE INDEX %I ON %s %s', part.name || '_' || of.index, part.place, of.what);
            EXECUTE format(
                'ALTER INDEX %I ATTACH PARTITION %I', 'penstock_records_' || of.index, part.name || '_' || of.index
            );
        END LOOP;
    END LOOP;
END $$;
