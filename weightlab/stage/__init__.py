"""The animated view with its controls, worker, panel and replay."""
