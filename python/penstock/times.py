"""Lengths of time in microseconds. Moments are microseconds since 1970; hours and days of them are those of UTC."""

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
