-- expand: limits of keys and teams

ALTER TABLE penstock_keys ADD COLUMN limits text;   -- JSON as people write them; NULL: none of its own
ALTER TABLE penstock_teams ADD COLUMN limits text;
