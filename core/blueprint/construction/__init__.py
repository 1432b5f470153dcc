"""Running the constructors of a blueprint."""
