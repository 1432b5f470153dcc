"""Running a step for one tensor over many: engines, and the choice among them."""
