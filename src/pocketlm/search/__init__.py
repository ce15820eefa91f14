"""Architecture search: space and budgets, proposals, successive halving, the front and its winners."""
