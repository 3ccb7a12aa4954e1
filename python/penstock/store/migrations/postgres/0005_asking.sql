-- expand: records by team, model, target, refusals and tags

CREATE INDEX penstock_records_team ON penstock_records (team, started_us) WHERE outcome IS NOT NULL;
CREATE INDEX penstock_records_model ON penstock_records (model, started_us) WHERE outcome IS NOT NULL;
-- In the order of bytes: those of a provider are a range.
CREATE INDEX penstock_records_target ON penstock_records (target COLLATE "C", started_us) WHERE outcome IS NOT NULL;
CREATE INDEX penstock_records_status ON penstock_records (status, started_us) WHERE outcome IS NOT NULL AND status >= 400;
CREATE INDEX penstock_records_tags ON penstock_records USING gin (tags jsonb_path_ops) WHERE outcome IS NOT NULL;
