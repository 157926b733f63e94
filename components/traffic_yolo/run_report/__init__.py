"""What is said at the end of a run, whatever happened to it: which tasks ran, which failed, what is in use now."""
