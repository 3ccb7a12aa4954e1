-- expand: keys and teams whose texts are never recorded

ALTER TABLE penstock_keys ADD COLUMN content smallint;   -- 0: opted out; NULL: as it is configured
ALTER TABLE penstock_teams ADD COLUMN content smallint;

-- The release before does not know the column: what it deletes and makes again has opted out of nothing.
CREATE FUNCTION penstock_without_content() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN NEW.content := NULL; RETURN NEW; END $$;
CREATE TRIGGER penstock_keys_content BEFORE UPDATE ON penstock_keys
FOR EACH ROW WHEN (NEW.state = 'deleted') EXECUTE FUNCTION penstock_without_content();
CREATE TRIGGER penstock_teams_content BEFORE UPDATE ON penstock_teams
FOR EACH ROW WHEN (NEW.state = 'deleted') EXECUTE FUNCTION penstock_without_content();
