"""One module a stage: read inputs, call the library, write outputs."""
