"""`kvctl load`: an open-loop load that says what clients felt. Only `client`, `wire` and `targets` do I/O."""
