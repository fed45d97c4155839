"""Per-example gradients held against a direction: by sweeps, and from training's own backward."""
