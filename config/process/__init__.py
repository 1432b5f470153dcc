"""What the running program does to all: interrupts, streams, tracebacks, warnings."""
