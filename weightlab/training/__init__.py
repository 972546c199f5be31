"""A real run, one step at a time, changeable midway."""
