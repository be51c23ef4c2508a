"""What ``load`` found, as text and as a page."""
