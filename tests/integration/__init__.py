"""The command line and the process, end to end."""
