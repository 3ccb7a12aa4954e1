"""What Penstock is compared with."""
