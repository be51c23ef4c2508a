"""What commands share: options, layout, output."""
