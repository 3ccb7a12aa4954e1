"""What becomes the snapshot: the decisions that native carries out."""
