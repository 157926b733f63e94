"""What a run would fail on hours later, found in its first seconds: places, options, classes, weights, a GPU."""
