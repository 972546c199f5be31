"""Vanishing and exploding gradients, and what each cure does about them."""
