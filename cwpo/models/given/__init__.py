"""Model folders of anybody: what their config.json and their index may say, before anything is made of it."""
