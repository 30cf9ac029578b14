"""Descriptor models, one file a part."""
