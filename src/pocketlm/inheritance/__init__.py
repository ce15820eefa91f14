"""Parameter inheritance (PanGu-pi Pro, 2402.02791): a model starts from the parts of a larger one that count."""
