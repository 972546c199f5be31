"""Real data made imbalanced, the techniques against it, and how much of each update a rare class gets."""
