"""The form of New run and the plan beside it."""
