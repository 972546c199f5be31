"""Models, activations, initializers, losses and data, and a learner's own module."""
