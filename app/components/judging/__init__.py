"""Can a judge be believed, and what does another one say? Judge models beside the gold reward, and its card"""
