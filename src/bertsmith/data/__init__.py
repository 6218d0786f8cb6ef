"""Readers for every ordinary format, the store of encoded features, and the data doctor."""
