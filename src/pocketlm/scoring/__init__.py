"""Scoring: lm-eval's own evaluator over our decoders, tasks from local items, function calls, paired differences."""
