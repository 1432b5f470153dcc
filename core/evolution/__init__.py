"""Records of older versions: rules for tensors, and what a refactor breaks."""
