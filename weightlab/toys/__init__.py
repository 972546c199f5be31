"""Update rules on toy landscapes: the descent panel, its pictures, races."""
