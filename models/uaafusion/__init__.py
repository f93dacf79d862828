"""UAAFusion: deep unfolding fusion led by attribution (Bai et al., TCSVT 2025)."""
