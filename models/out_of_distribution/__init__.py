"""Train the three fusions on one source of pairs and score them on the others.

Source: Shi et al., "CrossFuse", IEEE TCSVT 2025, whose subject it is. Command:
`python -m models.out_of_distribution`.
"""
