"""What is counted, measured and said."""
