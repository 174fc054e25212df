"""What is done to runs wherever they are shown: tags, notes, the way back from a change"""
