"""What models weigh and where stages fit: bytes on cards and in host memory, from configurations alone."""
