"""What becomes a batch, when, and what a caller gets of it; knows no model and no transport."""
