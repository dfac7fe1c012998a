"""Stage 5, learn: decisions become examples, examples a model, and a better model is promoted."""
