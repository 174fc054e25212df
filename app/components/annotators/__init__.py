"""Can an annotator's confidence be trusted?"""
