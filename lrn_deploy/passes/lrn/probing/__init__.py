"""LRN proven by what operators compute: a region cut out, run on planted inputs, and measured."""
