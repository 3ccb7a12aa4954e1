-- expand: records by team, model, target, refusals and tags

-- Conditions are looked at in the index of the time: a row may hold long texts before the columns that they are about.
DROP INDEX penstock_records_started;
CREATE INDEX penstock_records_started ON penstock_records (started_us, team, model, target, status, outcome, tags)
WHERE outcome IS NOT NULL;
CREATE INDEX penstock_records_team ON penstock_records (team, started_us) WHERE outcome IS NOT NULL;
