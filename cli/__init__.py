"""The ``burnish`` command: one file per subcommand."""
