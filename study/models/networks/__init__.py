"""Networks that are no "block in a 2D backbone": they see whole clips, (N, C, T, H, W)."""
