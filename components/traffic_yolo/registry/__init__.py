"""The model zoo: bundles and the ledger."""
