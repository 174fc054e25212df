"""Models leave by `cwpo export` and `cwpo push`: as a folder, and to the hub"""
