"""The paper that leaves with a model."""
