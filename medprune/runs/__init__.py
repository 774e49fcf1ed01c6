"""Long work outside the process that asked for it."""
