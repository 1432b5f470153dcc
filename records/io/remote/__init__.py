"""Objects of a storage behind a URL, through fsspec: read by ranges, written whole."""
