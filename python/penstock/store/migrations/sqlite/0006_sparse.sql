-- expand: nothing; in PostgreSQL records that have no team are in no index by team, and those without tags in none by tags

-- Here the index by team would have to be built anew from all rows, for little.
SELECT 1;
