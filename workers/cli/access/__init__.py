"""`cwpo people` and `cwpo audit`: who may do what, and what was done"""
