"""bertsmith: train, adapt and compare BERT-family models from a small labelled set and some raw text."""
