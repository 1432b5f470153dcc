"""How a step for one tensor runs over many: engines, and the choice among them."""
