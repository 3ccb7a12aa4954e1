//! What can be seen from outside: records, metrics, log lines.
