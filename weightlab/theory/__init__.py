"""Closed forms, computed without any run, so that they can disagree with it."""
