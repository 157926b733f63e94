"""What humans are to label next, and whether deployed detections still look like those that were validated."""
