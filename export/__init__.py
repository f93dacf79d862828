"""From trained networks to files that engines run, each step checked against the one before."""
