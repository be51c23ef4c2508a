"""What the commands print of reports and bundles, for a terminal of any width."""
