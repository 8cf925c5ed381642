"""Files, checkpoints and fingerprints of any `nn.Module`."""
