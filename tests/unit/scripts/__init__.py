"""What the scripts of the repository do."""
