"""Many noisy runs under a learning-rate schedule."""
