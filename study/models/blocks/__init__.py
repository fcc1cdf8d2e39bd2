"""The operators under study. A block maps frames (N*T, C, H, W) to (N*T, C', H', W')."""
