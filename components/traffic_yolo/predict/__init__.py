"""A model on pictures, videos and recordings: what it finds, drawn and written; the face of the Python API."""
