"""What this machine is and has, in one page for a bug report: nothing is changed, and no value of a secret is shown."""
