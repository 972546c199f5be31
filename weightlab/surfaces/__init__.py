"""The loss of a real network on planes through its weights, its sharpness, and what an update costs."""
