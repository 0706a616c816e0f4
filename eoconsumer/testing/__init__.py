"""What helps to test consumers: for users of the library and for the library itself."""
