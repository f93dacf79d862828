"""The system at work: two cameras from a bag, the node as its own process, what came out."""
