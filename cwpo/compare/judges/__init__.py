"""What judges say of runs beside the gold reward, and how far a gold reward itself can be believed"""
