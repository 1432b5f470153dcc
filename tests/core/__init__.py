"""Tests of burnish.core."""
