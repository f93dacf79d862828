"""What the commands calibrate and check_registration do. The node needs none of it."""
