"""One JSON schema a stream, under the stream's name."""
