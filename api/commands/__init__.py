"""The commands of `seawall`, by what they are about."""
