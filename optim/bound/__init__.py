"""What an optimizer holds: parameters, groups, states, and the rules for each."""
