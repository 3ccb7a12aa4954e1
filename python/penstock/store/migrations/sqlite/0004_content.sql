-- expand: keys and teams whose texts are never recorded

ALTER TABLE penstock_keys ADD COLUMN content INTEGER;   -- 0: opted out; NULL: as it is configured
ALTER TABLE penstock_teams ADD COLUMN content INTEGER;

-- The release before does not know the column: what it deletes and makes again has opted out of nothing.
CREATE TRIGGER penstock_keys_content AFTER UPDATE ON penstock_keys
WHEN NEW.state = 'deleted' AND NEW.content IS NOT NULL
BEGIN UPDATE penstock_keys SET content = NULL WHERE id = NEW.id; END;
CREATE TRIGGER penstock_teams_content AFTER UPDATE ON penstock_teams
WHEN NEW.state = 'deleted' AND NEW.content IS NOT NULL
BEGIN UPDATE penstock_teams SET content = NULL WHERE id = NEW.id; END;
