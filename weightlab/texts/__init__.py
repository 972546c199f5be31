"""An experiment as a short text to share, and back."""
