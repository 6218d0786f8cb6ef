"""The command line: one thin module per command, which imports what is heavy only when it is run, so that help appears at once."""
