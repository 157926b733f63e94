"""What concerns clusters and nothing of YOLO: their settings, and schedules."""
