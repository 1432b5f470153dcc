"""Where bytes go and come from: files, memory, other programs."""
