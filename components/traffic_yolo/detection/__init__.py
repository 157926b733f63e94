"""What a network says of pictures: raw detections, suppression, one inference whole or in shards."""
