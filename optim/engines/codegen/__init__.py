"""A recorded step as a program, and programs as code: over blocks, or in C."""
