"""An experiment as a plain PyTorch program to take home, piece by piece."""
