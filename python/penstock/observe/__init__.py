"""What people and tools see of the process."""
