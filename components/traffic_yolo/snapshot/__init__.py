"""What lies on a share, and what is new there."""
