"""The versions, each upgrading from the one before."""
