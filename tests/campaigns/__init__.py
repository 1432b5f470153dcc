"""Long searches for defects; a bounded part of each runs with the tests."""
