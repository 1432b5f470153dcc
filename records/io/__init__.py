"""Input and output of bytes: files, memory, URLs, files of other programs."""
