"""What stands behind the tabs of a run"""
