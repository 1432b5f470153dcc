"""The content of any file or folder of records that a user names."""
