"""The ``burnish`` command, one file for each subcommand."""
