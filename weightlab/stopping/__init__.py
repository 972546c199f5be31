"""When to stop: learning curves, patience, and stopping early beside an L2 penalty."""
