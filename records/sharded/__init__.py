"""Records in folders: a file for each process that saves, and an index of them."""
