"""Who may ask what of the image service, by topic."""
