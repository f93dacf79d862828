"""Image messages to arrays and back."""
