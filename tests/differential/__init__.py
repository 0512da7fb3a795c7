"""The same configuration and the same requests for Daemun and for nginx; see README.md."""
