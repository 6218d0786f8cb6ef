"""Model folders as `transformers` knows them: weights by a two-way table, safetensors in and out, names resolved to folders."""
