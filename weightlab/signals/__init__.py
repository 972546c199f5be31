"""Signals and gradients, layer by layer, before training."""
