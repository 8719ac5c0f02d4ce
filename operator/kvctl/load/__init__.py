"""`kvctl load`: an open-loop load that says what clients felt. Plan and report are pure; only `client` does I/O."""
