"""One thin module per command: a function of the command's name and an `EXAMPLE`. At the top they import nothing that takes time."""
