"""The one place that states the version; setup.cfg, image tags and records read it."""

__version__ = "0.1.0"
