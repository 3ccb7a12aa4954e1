-- expand: limits of keys and teams

ALTER TABLE penstock_keys ADD COLUMN limits TEXT;   -- JSON as people write them; NULL: none of its own
ALTER TABLE penstock_teams ADD COLUMN limits TEXT;

-- The release before does not know the column: what it deletes and makes again must not have limits of before.
CREATE TRIGGER penstock_keys_limits AFTER UPDATE ON penstock_keys
WHEN NEW.state = 'deleted' AND NEW.limits IS NOT NULL
BEGIN UPDATE penstock_keys SET limits = NULL WHERE id = NEW.id; END;
CREATE TRIGGER penstock_teams_limits AFTER UPDATE ON penstock_teams
WHEN NEW.state = 'deleted' AND NEW.limits IS NOT NULL
BEGIN UPDATE penstock_teams SET limits = NULL WHERE id = NEW.id; END;
