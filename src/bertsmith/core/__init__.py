"""Types, registry, errors and randomness that everything else is built on; imports nothing of ours."""
