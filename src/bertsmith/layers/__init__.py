"""Blocks that all families share: embeddings, attention, feed-forward, encoder, heads and the layout of a batch."""
