"""Picture files: from bytes to pixels within limits, what headers and one look tell, and how people are shown them."""
