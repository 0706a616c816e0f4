"""The stores: one folder or file for each database."""
