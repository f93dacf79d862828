"""Parts of `python -m models.evaluate`."""
