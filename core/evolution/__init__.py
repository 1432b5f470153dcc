"""Records of older versions: rules for tensors, and effects of refactorings."""
