"""Looks at unknown recordings and says what they are."""
