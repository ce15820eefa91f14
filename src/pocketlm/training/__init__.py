"""Training: one loop for pre-training, rounds, instruction and call tuning."""
