"""The stores' parts that need no server, and SQLite."""
