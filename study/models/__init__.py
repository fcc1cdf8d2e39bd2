"""Networks: backbones, the blocks under study, where they go, and their initial weights."""
