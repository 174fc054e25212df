"""What is said of labels and of those who gave them"""
