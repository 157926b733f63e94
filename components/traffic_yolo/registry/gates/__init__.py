"""What a new version must pass before it comes into use."""
