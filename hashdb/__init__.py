"""What is known: banks, references, fingerprints, the index over them, and who is told of them."""
