"""The papers' ablations at this run's size: differences paired by seed, their table and figure. Plain Python."""
