"""Update rules and schedules by hand, and the optimizer classes of PyTorch and of a learner."""
