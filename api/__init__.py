"""How Seawall is spoken to: HTTP and the command line."""
