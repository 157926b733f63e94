"""What changed between two data sets: pictures, splits, classes, boxes."""
