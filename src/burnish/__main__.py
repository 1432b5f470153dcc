"""The ``burnish`` command, by this name and as ``python -m burnish``."""


def main() -> int:
    """Run the command, and return its exit status."""
    # This handles Ctrl-C during the import, which nothing else would handle yet.
    try:
        from .cli.main import main as run

        return run()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
