"""From text to token ids and back: tokenizers, words, sentences, vocabularies."""
