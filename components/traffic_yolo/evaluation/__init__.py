"""Raw detections, suppression, COCO metrics and reports."""
