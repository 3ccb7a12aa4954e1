-- expand: records that have no team are in no index by team

DROP INDEX penstock_records_team;
CREATE INDEX penstock_records_team ON penstock_records (team, started_us)
WHERE outcome IS NOT NULL AND team IS NOT NULL;
