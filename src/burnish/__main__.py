"""The ``burnish`` command, by this name and as ``python -m burnish``."""


def main() -> int:
    """Run the command, and return its exit status."""
    # Ctrl-C while this is imported is met here: so far nobody else would.
    try:
        from .cli.main import main as run

        return run()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
