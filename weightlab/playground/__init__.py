"""A real network in training with every control, and a goal to reach under a budget."""
