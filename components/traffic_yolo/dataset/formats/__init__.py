"""Label formats, one file each: its reader, and its writer where we write it."""
