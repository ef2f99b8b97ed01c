"""Scripts that run in the model's pods: shipped as text, so they import the standard library only."""
