"""Which frames of two cameras belong together, by their stamps."""
