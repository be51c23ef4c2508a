"""Deploy convolutional networks with Local Response Normalization, checked and measured."""

__version__ = "0.1.0"
