"""What is to be seen, as data, and its still figures in one style."""
