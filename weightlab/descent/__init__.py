"""Toy landscapes and the learners that walk down them."""
