"""Renders ATM recordings of imaginary roads, with exact boxes."""

from traffic_yolo.atm.synthetic.share import ShareSummary, SyntheticOptions, write_share

__all__ = ["ShareSummary", "SyntheticOptions", "write_share"]
