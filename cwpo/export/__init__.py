"""Trained models leave the program: merged and checked, with a card, as a folder of transformers or on the hub"""
