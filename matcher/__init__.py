"""What is concluded: media into fingerprints, fingerprints into matches, matches into a verdict."""
