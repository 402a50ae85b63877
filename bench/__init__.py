"""What the product costs, measured. Each prints one JSON; none is a test. Run from the repository's root."""
