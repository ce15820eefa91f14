"""The data room: fetching, reading, tokenizers, tokens, batches, contamination."""
