"""Image files: headers, decoding, crops while decoding, and the decoded cache."""
