"""Which of the two cameras made a class appear where it does: integrated gradients by region."""
