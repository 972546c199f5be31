"""The update loop, one line of PyTorch at a time, mistakes included."""
