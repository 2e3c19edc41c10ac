"""State that survives from one step, or one epoch, to the next."""
