"""What a class of configuration consists of."""
