"""The sub-commands of traffic-yolo, one file a step."""
