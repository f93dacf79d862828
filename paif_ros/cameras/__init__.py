"""What comes from the cameras: taken in, watched, handed on."""
