"""Programs for the checkout itself, outside of the wheel."""
