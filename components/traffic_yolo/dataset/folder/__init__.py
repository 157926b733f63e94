"""The data set folder on disk: how it is written, in one piece or in shards, and what its manifest says."""
