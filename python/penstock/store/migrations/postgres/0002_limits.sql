-- expand: limits of keys and teams

ALTER TABLE penstock_keys ADD COLUMN limits text;   -- JSON as people write them; NULL: none of its own
ALTER TABLE penstock_teams ADD COLUMN limits text;

-- The release before does not know the column: what it deletes and makes again must not have limits of before.
CREATE FUNCTION penstock_without_limits() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN NEW.limits := NULL; RETURN NEW; END $$;
CREATE TRIGGER penstock_keys_limits BEFORE UPDATE ON penstock_keys
FOR EACH ROW WHEN (NEW.state = 'deleted') EXECUTE FUNCTION penstock_without_limits();
CREATE TRIGGER penstock_teams_limits BEFORE UPDATE ON penstock_teams
FOR EACH ROW WHEN (NEW.state = 'deleted') EXECUTE FUNCTION penstock_without_limits();
