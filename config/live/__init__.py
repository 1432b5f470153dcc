"""What a person changes in the config of a run that goes on."""
