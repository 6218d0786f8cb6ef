"""Blocks that all families share: embeddings, attention, feed-forward, encoder, decoder, cache, heads and the layout of a batch."""
